# SPDX-License-Identifier: Apache-2.0
"""A receiver of webhooks: keeps what it is sent, and answers as the path says."""
import collections
import http.server
import sys
import threading
import time
import urllib.parse

import keystile

Received = collections.namedtuple("Received", "path headers body at")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        url = urllib.parse.urlsplit(self.path)
        name = url.path.split("/")[1]
        seen = receiver.keep(Received(url.path, self.headers, body, time.time()))
        answer = receiver.answers.get(url.path) or getattr(self, "on_" + name, None)
        if answer is None:
            self.answer(200, b"ok")
        elif callable(answer):
            answer(dict(urllib.parse.parse_qsl(url.query)), seen)
        else:
            self.answer(*answer)

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def on_status(self, *_):
        self.answer(int(self.path.split("/")[2]), b"as you wish")

    def on_hang(self, *_):
        self.server.receiver.released.wait(keystile.PATIENCE_S)
        self.close_connection = True

    def on_redirect(self, query, _):
        self.answer(302, headers=[("Location", query["to"])])

    def on_fail(self, query, seen):
        """The first times of each event, in one way or another."""
        if seen > int(query["times"]):
            self.answer(200)
        elif query.get("how") == "close":
            self.close_connection = True
        else:
            self.answer(int(query.get("how", 500)))

    def on_endless(self, *_):
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.receiver.released.is_set():
                self.wfile.write(b"more " * 2000)
        except OSError:
            pass
        self.close_connection = True

    def on_drip(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            while not self.server.receiver.released.wait(0.02):
                self.wfile.write(b".")
        except OSError:
            pass
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        """Whoever is killed leaves connections behind."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Receiver:
    """Use as a context manager. `answers`: of a path, (status, body, headers) instead of what its first word means."""

    def __init__(self, address="127.0.0.1"):
        self.server = Server((address, 0), Handler)
        self.server.receiver = self
        self.address, self.port = self.server.server_address
        self.changed = threading.Condition()
        self.requests = []
        self.seen = collections.Counter()      # (path, id): how often
        self.answers = {}
        self.released = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path):
        return f"http://{self.address}:{self.port}{path}"

    def keep(self, request):
        with self.changed:
            self.requests.append(request)
            key = (request.path, request.headers.get("webhook-id"))
            self.seen[key] += 1
            self.changed.notify_all()
            return self.seen[key]

    def of(self, path):
        with self.changed:
            return [r for r in self.requests if r.path == path]

    def wait(self, path, count):
        """The first requests to a path, once there are so many."""
        with self.changed:
            enough = self.changed.wait_for(lambda: sum(r.path == path for r in self.requests) >= count, keystile.PATIENCE_S)
            found = [r for r in self.requests if r.path == path]
        assert enough, f"{len(found)} of {count} came to {path}"
        return found
