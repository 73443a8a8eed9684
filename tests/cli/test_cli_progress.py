#!/usr/bin/python3
"""Bars for long work that the service does: the command asks it how far it is, and draws it at a terminal alone. The service here is
a stand-in that is as slow as the test wants."""
import http.server
import json
import os
import re
import socketserver
import threading

import keystile
import pytest

from test_cli import on_a_terminal

SEEN = [(1024, 8192), (4096, 8192), (8000, 8192)]


class Service(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers work when it has been asked for its progress often enough."""

    daemon_threads = True

    def __init__(self, data, asks):
        self.asked, self.asks, self.enough = 0, asks, threading.Event()
        data.mkdir(mode=0o700)
        super().__init__(str(data / "keystile.sock"), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "local"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        assert self.path == "/v1/progress"
        if self.server.asked < len(SEEN):
            done, all_ = SEEN[self.server.asked]
            self.answer({"work": "backup", "done": done, "all": all_})
        else:
            self.answer({"work": None, "done": 0, "all": 0})
        self.server.asked += 1
        if self.server.asked >= self.server.asks:
            self.server.enough.set()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        assert self.server.enough.wait(keystile.PATIENCE_S)
        refused = self.path == "/v1/backup" and self.server.asks == 2
        self.answer({"status": 507, "title": "full", "code": "disk_full", "detail": "full"} if refused else {"path": "x"}, 507 if refused else 200)


@pytest.fixture
def serve(tmp_path):
    services = []

    def start(asks):
        services.append(Service(tmp_path / "data", asks))
        return services[-1]
    yield start
    for service in services:
        service.shutdown()
        service.server_close()


def backup(tmp_path):
    return on_a_terminal([str(keystile.PROGRAM), "backup", str(tmp_path / "copy"), "--data", str(tmp_path / "data")])


@pytest.mark.parametrize("asks", [3, 5])
def test_a_bar_grows_with_the_work(serve, tmp_path, asks):
    serve(asks)
    text, code = backup(tmp_path)
    assert code == 0
    percents = [int(p) for p in re.findall(r"\rbackup +\[[#.]{40}\] +(\d+)%", text)]
    assert percents == [100 * done // all_ for done, all_ in SEEN] + [100]
    assert text.endswith("\r\n") and text.count("\n") == 1


def test_a_failure_is_told_below_the_bar(serve, tmp_path):
    serve(2)
    text, code = backup(tmp_path)
    assert code == 1
    assert re.search(r"100%\r\nkeystile: .*full", text), text


def test_nothing_is_asked_where_nobody_looks(serve, tmp_path):
    service = serve(1)
    timer = threading.Timer(1, service.enough.set)
    timer.start()
    done = keystile.run("backup", tmp_path / "copy", data=tmp_path / "data")
    timer.join()
    assert (done.code, done.err, service.asked) == (0, "", 0)
    assert os.path.exists(tmp_path / "data" / "keystile.sock")
