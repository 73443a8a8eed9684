"""`keystile webhooks listen` under test: what it prints, as it comes."""
import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import threading
import time

import keystile

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()
OTHER = "whsec_" + base64.b64encode(b"another of thirty-two bytes.....").decode()


def signature(secret, message_id, stamp, body):
    """One item of webhook-signature, by the specification of Standard Webhooks alone."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signed_headers(body, secrets=(SECRET,), message_id="msg_1", stamp=None):
    stamp = int(time.time()) if stamp is None else stamp
    return {"Content-Type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(stamp),
            "webhook-signature": " ".join(signature(secret, message_id, stamp, body) for secret in secrets)}


class Listener:
    """Runs until stop(), or until it ends by itself. `json` false: as people see it."""

    def __init__(self, *arguments, secret=SECRET, json=True, env=None):
        self.command = [str(keystile.PROGRAM), "webhooks", "listen", "--port", "0", *map(str, arguments), *(["--json"] if json else [])]
        self.env = {"KEYSTILE_WEBHOOK_SECRETS": secret, **(env or {})}
        self.json = json
        self.lines = []
        self.changed = threading.Condition()
        self.closed = False

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=keystile.environment(self.env), preexec_fn=keystile.with_parent(None))
        first = self.process.stderr.readline()
        assert "http://" in first, first + self.process.stderr.read()
        self.url = json.loads(first)["listening"] if self.json else first.split(" ")[2]
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait(self, count):
        """The first `count` lines, parsed where they are JSON."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.lines) >= count or self.closed, keystile.PATIENCE_S)
            lines = self.lines[:count]
        assert len(lines) == count, f"{lines}"
        return [json.loads(line) for line in lines] if self.json else lines

    def wait_for(self, wanted):
        """The first event for which `wanted` is true."""
        count = 1
        while True:
            event = self.wait(count)[-1]
            if wanted(event):
                return event
            count += 1

    def post(self, body, headers, method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=keystile.PATIENCE_S)
        try:
            connection.request(method, "/in?a=1", body=body, headers=headers)
            response = connection.getresponse()
            return keystile.Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def end(self):
        """The exit code of one that ends by itself, or was told to."""
        code = self.process.wait(keystile.PATIENCE_S)
        self.reader.join(keystile.PATIENCE_S)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.end()

    def __exit__(self, kind, *_):
        code = self.stop()
        errors = self.process.stderr.read()
        self.process.stderr.close()
        self.process.stdout.close()
        if kind is None:
            assert code == 0 and not errors, errors
