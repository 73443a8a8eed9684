"""An issuer of JWTs and identity provider on this machine, which does what a test tells it to, well-behaved or not."""
import base64
import hashlib
import http.server
import json
import pathlib
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.parse


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, input=None):
    return subprocess.run(["openssl", *arguments], input=input, capture_output=True, check=True).stdout


class Key:
    """An RSA key; signs with openssl."""

    def __init__(self, kid):
        self.kid = kid
        self.pem = openssl("genrsa", "2048")

    @property
    def jwk(self):
        modulus = openssl("rsa", "-noout", "-modulus", input=self.pem).decode().strip().split("=")[1]
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "e": "AQAB",
                "n": b64(bytes.fromhex(modulus))}

    def sign(self, data):
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(self.pem)
            return openssl("dgst", "-sha256", "-sign", file.name, input=data)

    def token(self, claims, **header):
        """A JWT of the claims."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **header}
        text = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{b64(self.sign(text.encode()))}"


class Issuer:
    """`keys` are published; `status` and `documents` are what a test makes of it. As identity provider it redeems the codes
    in `codes`, each once."""

    def __init__(self, count=1):
        self.keys = [Key(f"k{n}") for n in range(1, count + 1)]
        self.status = 200
        self.documents = {}      # path -> object, in the place of the usual one
        self.asked = []          # paths, in order
        self.codes = {}          # code -> function of the request's form that gives the answer's members
        self.forms = []          # what came to the token endpoint
        self.userinfo = None
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path = self.path.split("?")[0]
                owner.asked.append(path)
                self.answer(*owner.document(path))

            def do_POST(self):
                owner.asked.append(self.path)
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                form = {name: values[0] for name, values in form.items()}
                form["authorization"] = self.headers.get("Authorization")
                owner.forms.append(form)
                self.answer(*owner.redeem(form))

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def document(self, path):
        if self.status != 200:
            return self.status, {}
        if path in self.documents:
            return 200, self.documents[path]
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token",
                         "authorization_endpoint": f"{self.url}/authorize", "userinfo_endpoint": f"{self.url}/userinfo"}
        if path == "/keys":
            return 200, {"keys": [key.jwk for key in self.keys]}
        if path == "/userinfo" and self.userinfo:
            return 200, self.userinfo
        return 404, {}

    def redeem(self, form):
        make = self.codes.pop(form.get("code"), None)
        if self.status != 200 or make is None:
            return (self.status if self.status != 200 else 400), {"error": "invalid_grant"}
        return 200, {"access_token": "an access token", "token_type": "Bearer", **make(form)}

    def count(self, path):
        return self.asked.count(path)

    # -- tokens --

    def token(self, claims=None, key=None, **header):
        """A JWT of this issuer that is good for ten minutes, but for what `claims` says."""
        now = int(time.time())
        return (key or self.keys[0]).token({"iss": self.url, "iat": now, "exp": now + 600, **(claims or {})}, **header)


def at_hash(access_token):
    return b64(hashlib.sha256(access_token.encode()).digest()[:16])
