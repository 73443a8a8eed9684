"""Real gateways with the configuration files of docs/gateways, an application behind them that records what reaches it,
and clients that send exact bytes."""
import base64
import collections
import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import keystile

sys.path.insert(0, str(keystile.SOURCE / "tests" / "api"))

CONFIGURATIONS = keystile.SOURCE / "docs" / "gateways"
IDENTITY = ["Principal", "Kind", "Tenant", "Organization", "Visible", "Inherited", "Scopes", "Environment", "Family"]

# What stands in the configuration files, to be replaced by the ports of a test.
KEYSTILE, APPLICATION, CLIENTS, CLIENTS_H2 = "127.0.0.1:5397", "127.0.0.1:8000", "127.0.0.1:8080", "127.0.0.1:8082"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- the application ----


class Request(collections.namedtuple("Request", "method target version headers body trailers")):
    def values(self, name):
        """All values of a header, as they came."""
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def value(self, name):
        found = self.values(name)
        assert len(found) <= 1, f"{name} came {len(found)} times: {found}"
        return found[0] if found else None

    def identity(self):
        """What the X-Keystile headers say; a header that is not there says the same as an empty one."""
        return {name: self.value(f"X-Keystile-{name}") or "" for name in IDENTITY}


class Application:
    """Records every request, byte for byte, and answers 200; opens a WebSocket and sends back what it gets."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.requests = []
        self.connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def taken(self):
        """What has come since the last call."""
        with self.lock:
            taken, self.requests = self.requests, []
            return taken

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        stream = connection.makefile("rb")
        with contextlib.suppress(OSError), connection, stream:
            while self._answer(connection, stream):
                pass
        with self.lock:
            self.connections.discard(connection)

    def _answer(self, connection, stream):
        line = stream.readline()
        if not line.strip():
            return False
        method, target, version = line.rstrip(b"\r\n").decode("latin-1").split(" ", 2)
        headers = []
        while line := stream.readline().rstrip(b"\r\n"):
            name, value = line.decode("latin-1").split(":", 1)
            headers.append((name, value.strip(" \t")))
        request = Request(method, target, version, headers, None, [])
        connects = [word.strip().lower() for v in request.values("Connection") for word in v.split(",")]
        upgrade = (request.value("Upgrade") or "").lower() == "websocket" and "upgrade" in connects
        request = request._replace(body=self._body(connection, stream, request))
        with self.lock:
            self.requests.append(request)
        if upgrade:
            key = (
                request.value("Sec-WebSocket-Key") or ""
            ) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            while data := stream.read1(4096):
                connection.sendall(data)
            return False
        body = b"application\n"
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nX-Application: yes\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + (b"" if method == "HEAD" else body)
        )
        return version == "HTTP/1.1" and "close" not in connects

    @staticmethod
    def _body(connection, stream, request):
        if (request.value("Expect") or "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (request.value("Transfer-Encoding") or ""):
            parts = []
            while size := int(stream.readline().split(b";")[0], 16):
                parts.append(stream.read(size))
                stream.readline()
            while trailer := stream.readline().strip():
                request.trailers.append(trailer.decode("latin-1"))
            return b"".join(parts)
        return stream.read(int(request.value("Content-Length") or 0))


# ---- the gateways ----


class Gateway:
    """A gateway under a directory of its own. `substitute` maps what stands in the files to what the test has."""

    name = None
    files = []
    program = None

    def __init__(self, keystile_port, application_port, **more):
        self.environment = {}
        self.port = free_port()
        self.port_h2 = self.port
        self.substitutes = {
            KEYSTILE: f"127.0.0.1:{keystile_port}",
            APPLICATION: f"127.0.0.1:{application_port}",
            CLIENTS: f"127.0.0.1:{self.port}",
            **more,
        }
        self.directory = None
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="keystile-gateway-", dir="/tmp"))
        self.directory.chmod(0o755)
        for name in self.files:
            text = (CONFIGURATIONS / name).read_text()
            for old, new in self.substitutes.items():
                assert old in text or len(self.files) > 1, f"{old} does not stand in {name}"
                text = text.replace(old, new)
            (self.directory / name).write_text(text)
        log = open(self.directory / "log", "wb")
        command = self.command()
        home = {"XDG_CONFIG_HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}
        self.process = subprocess.Popen(
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=keystile.with_parent(None),
            env={**os.environ, **home, **self.environment},
        )
        log.close()
        deadline = time.monotonic() + keystile.PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self):
        logs = [p for p in sorted(self.directory.iterdir()) if p.name.endswith("log")]
        return "".join(f"--- {p.name}\n{p.read_text(errors='replace')[-5000:]}" for p in logs)

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


class Nginx(Gateway):
    name = "nginx"
    files = ["nginx.conf"]
    program = "nginx"

    def __init__(self, keystile_port, application_port):
        h2 = free_port()
        super().__init__(keystile_port, application_port, **{CLIENTS_H2: f"127.0.0.1:{h2}"})
        self.port_h2 = h2

    def command(self):
        return ["nginx", "-p", str(self.directory), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]


class Caddy(Gateway):
    name = "caddy"
    files = ["Caddyfile"]
    program = "caddy"

    def __init__(self, keystile_port, application_port):
        super().__init__(keystile_port, application_port)
        self.substitutes["http://:8080"] = f"http://:{self.port}"

    def command(self):
        return ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]


class Haproxy(Gateway):
    name = "haproxy"
    files = ["haproxy.cfg", "keystile.lua"]
    program = "haproxy"

    def command(self):
        return ["haproxy", "-db", "-f", "haproxy.cfg"]


class Apache(Gateway):
    """Has a key of its own, and the authority of Keystile's certificate."""

    name = "apache"
    files = ["apache.conf"]
    program = "apache2"

    def __init__(self, keystile_port, application_port, gateway_key, authority):
        super().__init__(keystile_port, application_port)
        self.gateway_key = gateway_key
        self.authority = authority

    def command(self):
        # Where its children, who are not root, can read it.
        authority = shutil.copy(self.authority, self.directory / "authority.pem")
        self.environment = {
            "GATEWAY_KEY": self.gateway_key,
            "KEYSTILE_CA": str(authority),
            "STATE": str(self.directory),
        }
        return ["apache2", "-d", str(self.directory), "-f", str(self.directory / "apache.conf"), "-D", "FOREGROUND"]


GATEWAYS = {g.name: g for g in (Nginx, Caddy, Haproxy)}

# Of the service behind these gateways.
SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}


# ---- clients ----


class Response(collections.namedtuple("Response", "status headers body")):
    @property
    def code(self):
        """The problem's code; None where there is no problem document."""
        if "problem+json" not in (self.headers.get("Content-Type") or ""):
            return None
        return json.loads(self.body)["code"]


class Wire:
    """One connection; sends exact bytes and reads answers."""

    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), keystile.PATIENCE_S, source_address=(source, 0))
        self.stream = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def read(self, method="GET"):
        """The next answer; None where the gateway closed the connection without one."""
        line = b"HTTP/1.1 100"
        while line.startswith((b"HTTP/1.1 100", b"HTTP/1.0 100")):
            line = self.stream.readline()
            if not line:
                return None
            status = int(line.split(b" ", 2)[1])
            headers = http.client.parse_headers(self.stream)
        if method == "HEAD" or status in (101, 204, 304):
            return Response(status, headers, b"")
        if "chunked" in (headers.get("Transfer-Encoding") or ""):
            body = io.BytesIO()
            while size := int(self.stream.readline(), 16):
                body.write(self.stream.read(size))
                self.stream.readline()
            self.stream.readline()
            return Response(status, headers, body.getvalue())
        length = headers.get("Content-Length")
        return Response(status, headers, self.stream.read(int(length)) if length is not None else self.stream.read())

    def ask(
        self,
        target="/api/v1/contacts",
        *,
        method="GET",
        headers=(),
        token=None,
        host="api.test",
        body=b"",
        version="1.1",
    ):
        """A request with these header lines, in this order, and its answer."""
        lines = [f"{method} {target} HTTP/{version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        lines += [h if isinstance(h, str) else f"{h[0]}: {h[1]}" for h in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.read(method)

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


CURL_STREAM_RESET = 92


def make_certificate(directory):
    """An authority and a certificate of it for 127.0.0.1, in PEM: (authority, certificate, key)."""

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=keystile.PATIENCE_S)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority, key, certificate, request, extensions = (
        directory / n for n in ("ca.pem", "key.pem", "cert.pem", "csr", "ext")
    )
    openssl(
        "req",
        "-x509",
        *curve,
        "-days",
        "2",
        "-subj",
        "/CN=authority",
        "-keyout",
        directory / "ca.key",
        "-out",
        authority,
    )
    openssl("req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    extensions.write_text("extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        request,
        "-CA",
        authority,
        "-CAkey",
        directory / "ca.key",
        "-CAcreateserial",
        "-extfile",
        extensions,
        "-out",
        certificate,
    )
    return authority, certificate, key


def curl(port, target="/api/v1/contacts", *, headers=(), token=None, method="GET"):
    """Over HTTP/2 without TLS, with the target as it stands; None where the gateway ended the stream unanswered."""
    command = [
        "curl",
        "-sS",
        "--http2-prior-knowledge",
        "--path-as-is",
        "-g",
        "-i",
        "-m",
        str(keystile.PATIENCE_S),
        "-X",
        method,
        f"http://127.0.0.1:{port}{target}",
    ]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    for header in headers:
        command += ["-H", header]
    done = subprocess.run(command, capture_output=True, timeout=keystile.PATIENCE_S + 5)
    if done.returncode == CURL_STREAM_RESET:
        return None
    assert done.returncode == 0, done.stderr
    stream = io.BytesIO(done.stdout)
    status = int(stream.readline().split()[1])
    return Response(status, http.client.parse_headers(stream), stream.read())
