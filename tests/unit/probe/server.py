#!/usr/bin/python3
"""What probes are tested against: SIP over UDP, TCP and TLS, and HTTP, on free ports of 127.0.0.1. Digests are computed
here a second time, by another library. Writes "udp PORT", "tcp PORT", "tls PORT", "http PORT". Ends with its input.
  server.py DIRECTORY    keeps its authority (ca.pem) and certificate there

The user of a SIP request's To says how it is answered; the password is always "right horse"."""
import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import re
import secrets
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
PASSWORD = "right horse"
seen = {}


def digest(algorithm, *parts):
    return hashlib.new(HASHES[algorithm], ":".join(parts).encode()).hexdigest()


def challenge(algorithm, nonce, more="", qop='qop="auth,auth-int", '):
    named = f", algorithm={algorithm}" if algorithm else ""
    return f'Digest realm="trunk \\"one\\".example", {qop}nonce="{nonce}"{named}, opaque="op"{more}'


def parameters(header):
    found = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header)
    return {n: re.sub(r"\\(.)", r"\1", q) if q else t for n, q, t in found}


def is_right(header, method, user, with_qop):
    p = parameters(header)
    algorithm = p.get("algorithm", "MD5")
    secret = digest(algorithm, user, 'trunk "one".example', PASSWORD)
    request = digest(algorithm, method, p["uri"])
    if with_qop:
        want = digest(algorithm, secret, p["nonce"], p["nc"], p["cnonce"], p["qop"], request)
    else:
        want = digest(algorithm, secret, p["nonce"], request)
    return p["username"] == user and p["response"] == want and ("qop" in p) == with_qop and p.get("opaque") == "op"


class Request:
    def __init__(self, text):
        head = text.split("\r\n\r\n")[0].split("\r\n")
        self.method, self.uri, _ = head[0].split(" ")
        self.headers = [line.split(": ", 1) for line in head[1:]]
        to = self.get("To")
        self.user = urllib.parse.unquote(re.search(r"sip:([^@>]*)@", to).group(1))

    def get(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def answer(self, status, *more, sequence=None, branch=None):
        via = self.get("Via")
        if branch:
            via = re.sub(r"branch=[^;]*", "branch=" + branch, via)
        lines = [f"SIP/2.0 {status} Text", "Via: " + via, "From: " + self.get("From"), "To: " + self.get("To") + ";tag=t",
                 "Call-ID: " + self.get("Call-ID"), "CSeq: " + (sequence or self.get("CSeq")), *more, "Content-Length: 2", "", "ab"]
        return "\r\n".join(lines).encode()


def plain_answers(r, count):
    """Answers that need no credentials, by user."""
    if r.user.isdigit():
        return [r.answer(r.user)]
    if r.user == "silent":
        return []
    if r.user == "third":
        return [r.answer(200)] if count == 3 else []
    if r.user == "slow":
        return [r.answer(100), r.answer(183), r.answer(200)]
    if r.user == "strangers":
        return [r.answer(200, branch="z9hG4bKother"), r.answer(200, sequence="77 OPTIONS"), b"\r\n\r\n", b"\x00\xffnoise", r.answer(486)]
    if r.user == "noise":
        return [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]
    if r.user == "endless":
        return [b"x" * 1000] * 60
    return None


def guarded_answers(r):
    """Answers that need credentials: the user is ALGORITHM or ALGORITHM-plain, -proxy, -stale, or "both"."""
    algorithm, _, how = r.user.partition("+")
    name, status = ("Proxy-Authenticate", 407) if how == "proxy" else ("WWW-Authenticate", 401)
    given = r.get("Proxy-Authorization" if how == "proxy" else "Authorization")
    asks = [challenge("" if algorithm == "none" else algorithm, secrets.token_hex(8), qop="" if how == "plain" else 'qop="auth,auth-int", ')]
    if algorithm == "both":
        asks = [challenge("MD5", "n"), challenge("SHA-256", "n"), challenge("SHA-3", "n"), 'Basic realm="x"']
    if not given:
        return [r.answer(status, *(name + ": " + a for a in asks))]
    if algorithm == "both" and "SHA-256" not in given:
        return [r.answer(400)]
    if how == "stale" and "fresh" not in given:
        return [r.answer(401, "WWW-Authenticate: " + challenge(algorithm, "fresh", ", stale=true"))]
    if how == "forbidden":
        return [r.answer(403)]
    if is_right(given, r.method, r.user, how != "plain") and "Contact" not in dict(r.headers):
        return [r.answer(200)]
    return [r.answer(status, *(name + ": " + a for a in asks))]


def answers(text):
    r = Request(text)
    key = r.get("Via")
    seen[key] = seen.get(key, 0) + 1
    plain = plain_answers(r, seen[key])
    return guarded_answers(r) if plain is None else plain


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        text, s = self.request
        for a in answers(text.decode()):
            s.sendto(a, self.client_address)


class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        text = b""
        try:
            while True:
                while b"\r\n\r\n" not in text:
                    more = self.request.recv(65536)
                    if not more:
                        return
                    text += more
                one, _, text = text.partition(b"\r\n\r\n")
                for a in answers((one + b"\r\n\r\n").decode()):
                    half = len(a) // 2      # a message may come in pieces
                    self.request.sendall(a[:half])
                    self.request.sendall(a[half:])
        except OSError:
            pass


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"{}"):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        name = self.path.strip("/")
        if name.isdigit():
            self.say(int(name))
        elif name == "key":
            self.say(200 if self.headers.get("X-Api-Key") == PASSWORD else 401)
        elif name == "member":
            self.say(200, b'{"sid": "AC1", "empty": "", "number": 1}')
        elif name == "large":
            self.say(200, b"x" * 70000)
        elif name == "hang":
            self.rfile.read(1)
        elif name == "basic":
            right = base64.b64encode(f"client:id:{PASSWORD}".encode()).decode()
            self.say(200 if self.headers.get("Authorization") == "Basic " + right else 401)
        elif name == "bearer":
            self.say(200 if self.headers.get("Authorization") == "Bearer " + PASSWORD else 401)
        elif name == "aws":
            self.say(200 if self.headers.get("Authorization") == self.aws() else 401)

    def aws(self):
        """What the vendor's own signer says."""
        date = self.headers.get("X-Amz-Date", "")
        request = AWSRequest("GET", f"http://{self.headers['Host']}{self.path}")
        request.context["timestamp"] = date
        request.headers["X-Amz-Date"] = date
        signer = SigV4Auth(Credentials("client:id", PASSWORD), "s", "r")
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(text, request))
        return request.headers["Authorization"]

    def is_jwt(self):
        """HS256, by hand: the claims are told, nbf and exp added."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        signed, _, signature = token.rpartition(".")
        mac = base64.urlsafe_b64encode(hmac.new(PASSWORD.encode(), signed.encode(), "sha256").digest()).rstrip(b"=").decode()
        claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "==="))
        return (kind == "Bearer" and signature == mac and claims["iss"] == "client:id" and claims["nbf"] == 1600000000
                and claims["nbf"] < claims["exp"] <= claims["nbf"] + 3600)

    def do_POST(self):
        if self.path == "/jwt":
            self.rfile.read(int(self.headers["Content-Length"]))
            self.say(200 if self.is_jwt() else 401)
            return
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        basic = self.headers.get("Authorization") == "Basic Y2xpZW50JTNBaWQ6cmlnaHQlMjBob3JzZQ=="
        posted = form.get("client_id") == ["client:id"] and form.get("client_secret") == [PASSWORD]
        if form.get("grant_type") != ["client_credentials"] or (
                self.path == "/scoped" and form.get("scope") != ["a b"]) or (
                self.path == "/audience" and form.get("audience") != ["x y"]):
            self.say(400, b'{"error": "invalid_scope"}')
        elif not basic and not posted:
            self.say(400 if self.path == "/four" else 401, b'{"error": "invalid_client"}')
        elif self.path == "/empty":
            self.say(200, b'{"access_token": ""}')
        else:
            self.say(200, json.dumps({"access_token": "t", "token_type": "bearer"}).encode())


class Udps(socketserver.ThreadingMixIn, socketserver.UDPServer):
    daemon_threads = True


class Tcps(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 64
    context = None

    def get_request(self):
        s, peer = super().get_request()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (self.context.wrap_socket(s, server_side=True) if self.context else s), peer

    def handle_error(self, *_):
        pass   # clients that leave are what is tested


def certificates(directory):
    """An authority, and a certificate of it for good.test."""
    run = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    run("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=good.test")
    (directory / "extensions").write_text("subjectAltName=DNS:good.test\n", encoding="ascii")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-out", "server.pem", "-extfile", "extensions")


def main():
    directory = pathlib.Path(sys.argv[1])
    certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    tls = Tcps(("127.0.0.1", 0), Stream)
    tls.context = context
    silent = socket.create_server(("127.0.0.1", 0))   # takes connections and says nothing
    servers = [("udp", Udps(("127.0.0.1", 0), Udp)), ("tcp", Tcps(("127.0.0.1", 0), Stream)), ("tls", tls),
               ("http", Tcps(("127.0.0.1", 0), Http))]
    for name, server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(name, server.server_address[1], flush=True)
    print("silent", silent.getsockname()[1], flush=True)
    sys.stdin.read()


main()
