#!/usr/bin/python3
"""A canary in the vault: values that are entered by link and by the API, revealed, answered with, probed with, rotated and refused, and
are found nowhere afterwards: no file, no log, no answer, no memory of the service or of its keeper."""
import contextlib
import http.server
import json
import os
import pathlib
import threading
import time

import keystile
from links_service import multipart
from test_canary import Canaries, files_of, in_memory

PLATFORM = """version: 1
name: pair
label: Pair
about: A user and a password that are tried by HTTP.
fields:
  url: {label: URL, type: url}
  user: {label: User, type: text}
  password: {label: Password, type: secret}
probe: {kind: http, url: "${url}/x", basic: {user: "${user}", password: "${password}"}}
"""


class Platform(http.server.BaseHTTPRequestHandler):
    """Takes every credential, until `status` is another."""
    status = 200

    def do_GET(self):
        self.send_response(Platform.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def eventually(holds, what):
    end = time.monotonic() + keystile.PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.02)


def keeper_of(daemon):
    """A thread of the service started it: any of them may be its parent."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, rest = path.read_text().split(" (", 1)[1].rsplit(") ", 1)
            if name.startswith("keystile-keeper") and int(rest.split()[1]) == daemon.process.pid:
                return int(path.parent.name)
    raise AssertionError("no keeper")


class Vault:
    def __init__(self, daemon, url):
        self.daemon, self.local = daemon, daemon.local()
        organization = self.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201)["id"]
        self.provider = self.call("POST", "/v1/providers", {"tenant": organization, "platform": "pair", "name": "p"}, 201)["id"]
        self.put("url", url)
        key = {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
        self.runtime = daemon.client(self.call("POST", "/v1/keys", key, 201)["token"])

    def call(self, method, target, body=None, expect=200):
        answer = self.local.call(method, target, body)
        assert answer.status == expect, answer.body
        return answer.json

    def put(self, field, value):
        return self.call("PUT", f"/v1/providers/{self.provider}/fields/{field}", {"value": value})

    def enter(self, field, value, expect=200):
        url = self.call("POST", f"/v1/providers/{self.provider}/fields/{field}/links", {}, 201)["url"]
        headers, body = multipart(("value", value))
        answer = self.daemon.call("POST", "/" + url.split("/", 3)[3], body, headers)
        assert answer.status == expect and value.encode() not in answer.body, answer.body

    def stage(self, version):
        items = self.call("GET", f"/v1/providers/{self.provider}/fields/password?limit=50")["items"]
        return next((v["stage"] for v in items if v["version"] == version), None)

    def ask(self, what, call, **more):
        answer = self.runtime.call("POST", f"/v1/providers/{self.provider}/{what}", {"call_id": call, **more})
        assert answer.status == 200, answer.body
        return answer


def test_values_are_found_nowhere(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "pair.yaml").write_text(PLATFORM)
    env = {"KEYSTILE_LOG_LEVEL": "debug", "KEYSTILE_PLATFORMS_OWN": tmp_path, "KEYSTILE_FETCH_ALLOW": "127.0.0.1",
           "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_HTTP_IDLE_MS": 3600000}
    canaries = Canaries()
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        vault = Vault(daemon, url)
        pids = (daemon.process.pid, keeper_of(daemon))
        values = [canaries.add(name, "canary-" + os.urandom(20).hex()) for name in ("by link", "by the API", "refused")]
        by_link, by_api, refused = values
        vault.put("user", "alice")
        vault.enter("password", by_link)
        eventually(lambda: vault.stage(1) == "current", "the first is not current")
        assert vault.ask("reveal", "one").json["fields"] == {"url": url, "user": "alice", "password": by_link}
        vault.put("password", by_api)
        eventually(lambda: vault.stage(2) == "current", "the second is not current")
        assert vault.ask("reveal", "two").json["fields"]["password"] == by_api
        assert vault.ask("reveal", "one").json["fields"]["password"] == by_link
        challenge = {"challenge": 'Digest realm="r", nonce="n", qop="auth"', "method": "INVITE", "uri": "sip:r"}
        vault.ask("digest", "two", **challenge)
        Platform.status = 401
        vault.enter("password", refused)
        eventually(lambda: vault.stage(3) == "failed", "the third is not refused")
        vault.local.call("POST", "/v1/providers", {"tenant": by_link, "platform": by_api, "name": [refused]})
        vault.local.call("PUT", f"/v1/providers/{vault.provider}/fields/user", {"value": [by_link], "x": by_api})

        def anywhere():
            return [found for pid in pids for found in in_memory(canaries, pid)]

        # The last answer is sent a moment before its buffers are wiped.
        eventually(lambda: not anywhere(), lambda: "\n".join(anywhere()))

        told = [vault.local.call("GET", target).body for target in ("/metrics", "/v1/audit?limit=500", "/v1/events?limit=500",
                f"/v1/providers/{vault.provider}/health", f"/v1/providers/{vault.provider}/health/history", f"/v1/providers/{vault.provider}/fields")]
        assert json.loads(told[1])["items"]
        canaries.absent("an answer", b"".join(told))
        daemon.stop()
        server.shutdown()
        for path in files_of(data):
            canaries.absent(path.name, path.read_bytes())
        canaries.absent("the log", bytes(daemon.raw))
