# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the HTTP tests: the program of echo_server.c, started once a test or once for all, and raw sockets to it."""
import json
import os
import pathlib
import socket
import subprocess

import pytest

# Nothing here waits for a time to pass; this is how long a test waits for what must come.
PATIENCE = 30


def pytest_addoption(parser):
    parser.addoption("--program", default=None, help="the program built of tests/http/echo_server.c")


def find_program(config):
    given = config.getoption("--program")
    if given:
        return given
    build = pathlib.Path(os.environ.get("KEYSTILE_BUILD", "build"))
    for name in ("tests/http_echo_server", "tests/http/echo_server"):
        if (build / name).exists():
            return str(build / name)
    pytest.exit("tests/http: no echo_server; give --program or KEYSTILE_BUILD", returncode=2)


class Response:
    """One response, read off the front of some bytes."""

    def __init__(self, data, head_only=False):
        head, sep, rest = data.partition(b"\r\n\r\n")
        assert sep, f"no whole response in {data!r}"
        lines = head.split(b"\r\n")
        self.status_line = lines[0]
        self.status = int(lines[0].split(b" ")[1])
        self.headers = [tuple(part.strip().decode("latin-1") for part in line.split(b":", 1)) for line in lines[1:]]
        length = 0 if head_only or self.status in (204, 304) or self.status < 200 else int(self.header("Content-Length") or 0)
        assert len(rest) >= length, f"body cut short: {data!r}"
        self.body = rest[:length]
        self.rest = rest[length:]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} twice"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Client:
    """A raw connection."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def response(self, head_only=False):
        """The next response; more is read as it is needed."""
        while True:
            head, sep, rest = self.data.partition(b"\r\n\r\n")
            if sep:
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length" and not head_only:
                        length = int(value)
                if len(rest) >= length:
                    break
            more = self.sock.recv(1 << 16)
            assert more, f"ended after {self.data!r}"
            self.data += more
        found = Response(self.data, head_only)
        self.data = found.rest
        return found

    def rest(self):
        """Everything until the other side ends the connection."""
        while True:
            try:
                more = self.sock.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                data, self.data = self.data, b""
                return data
            self.data += more

    def ask(self, target, method="GET", headers="", body=b""):
        if body:
            headers += f"Content-Length: {len(body)}\r\n"
        self.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body)
        return self.response(head_only=method == "HEAD")

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Server:
    def __init__(self, program, options):
        self.options = options
        self.process = subprocess.Popen([program] + [f"{name.replace('_', '-')}={value}" for name, value in options.items()],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.said = self.process.stdout.readline().strip()
        self.port, self.old_library = None, None
        if self.said.startswith("port "):
            _, port, _, library = self.said.split()
            self.port = int(port)
            # From 1.0 on libmicrohttpd refuses much by itself, with a page of its own.
            self.old_library = library.startswith("0.")

    def connect(self, **options):
        sock = socket.socket()
        for name, value in options.items():
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", self.port))
        return Client(sock)

    def connect_local(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.options["socket"])
        return Client(sock)

    def once(self, data):
        """All that comes back for some bytes until the connection ends."""
        with self.connect() as client:
            try:
                client.send(data)
            except (ConnectionResetError, BrokenPipeError):
                pass
            return client.rest()

    def ask(self, target, **more):
        with self.connect() as client:
            return client.ask(target, **more)

    def figures(self):
        return self.ask("/figures").json()

    def wait_figures(self, wanted):
        """Until `wanted` holds of the figures; an assertion where it never does. No room for the question counts as not yet."""
        now = None
        for _ in range(PATIENCE * 50):
            try:
                now = self.figures()
            except (OSError, AssertionError):
                now = None
            if now and wanted(now):
                return now
            # The loop ends with what it waits for, or with the program.
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        raise AssertionError(f"never came to be: {now}")

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def finish(self, drain_ms=0):
        """Stops it; returns its last line as a dict. It must end by itself, with nothing to report."""
        self.order(f"stop {drain_ms}")
        return self.ended()

    def ended(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        out = self.process.stdout.read()
        assert self.process.wait(PATIENCE) == 0
        last = out.strip().splitlines()[-1].split()
        assert last[0] == "stopped"
        return {name: int(value) for name, value in (part.split("=") for part in last[1:])}


@pytest.fixture(scope="session")
def program(request):
    return find_program(request.config)


@pytest.fixture
def serve(program):
    """Starts a server of the test's own; stopped at its end, when every exchange that began must have been closed."""
    servers = []

    def start(**options):
        options.setdefault("listen", "127.0.0.1:0")
        server = Server(program, options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None and not server.process.stdin.closed:
            figures = server.finish()
            assert figures["begun"] == figures["closed"]


@pytest.fixture(scope="session")
def shared_server(program):
    server = Server(program, {"listen": "127.0.0.1:0"})
    yield server
    figures = server.finish()
    assert figures["begun"] == figures["closed"]
