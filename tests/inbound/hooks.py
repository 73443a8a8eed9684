"""What the tests of inbound webhooks share: a service with one organization, requests signed by a platform's scheme, certificates."""
import base64
import contextlib
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import itertools
import json
import pathlib
import ssl
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import keystile  # noqa: E402

NUMBERS = itertools.count(1)
SECRET = "a-secret-of-the-test"
ORIGIN = "https://hooks.example.com"
SETTINGS = {"KEYSTILE_HOOKS_ORIGIN": ORIGIN, "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_VAULT_DIRECT_WRITE": "true",
            "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8", "KEYSTILE_HOOKS_CHALLENGES_PER_MINUTE": "1000"}


def unique(word):
    return f"{word}-{next(NUMBERS)}"


class Hooks:
    """A running service, its owner, and one organization."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.tenant = self.call("POST", "/v1/tenants", {"kind": "organization", "name": unique("Acme")}, 201)["id"]

    def call(self, method, path, body=None, expect=200):
        client = self.daemon.local()
        try:
            answer = client.call(method, path, body)
        finally:
            client.close()
        assert answer.status == expect, (method, path, answer.status, answer.body[:2000])
        return answer.json

    def source(self, platform, scheme=None, parameters=None, **members):
        body = {"tenant": self.tenant, "platform": platform, "name": unique("source"), "parameters": parameters or {}, **members}
        if scheme:
            body["scheme"] = scheme
        return self.call("POST", "/v1/sources", body, 201)["id"]

    def send(self, source, body=b"{}", headers=None, method="POST", rest="", client=None):
        client = client or self.daemon.client()
        try:
            return client.call(method, f"/hooks/{source}{rest}", body, headers or {})
        finally:
            client.close()

    def messages(self, source):
        return self.call("GET", f"/v1/sources/{source}/messages?limit=500")["items"]

    def message(self, source, number=0):
        return self.call("GET", f"/v1/sources/{source}/messages/{self.messages(source)[number]['id']}")

    def count(self, metric, **labels):
        text = ",".join(f'{k}="{v}"' for k, v in labels.items())
        line = next(x for x in self.daemon.call("GET", "/metrics").body.decode().splitlines() if x.startswith(f"{metric}_total{{{text}}}"))
        return int(line.rsplit(" ", 1)[1])


@contextlib.contextmanager
def service(**settings):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={**SETTINGS, **settings}) as daemon:
        yield Hooks(daemon)


def eventually(look, wanted):
    deadline = time.monotonic() + keystile.PATIENCE_S
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
        time.sleep(0.02)


# ---- platforms ----

def mac(secret, text, digest="sha256"):
    return hmac.new(secret.encode(), text, digest)


def github(body, secret=SECRET, delivery=None):
    return {"X-Hub-Signature-256": "sha256=" + mac(secret, body).hexdigest(), "X-GitHub-Delivery": delivery or unique("delivery"),
            "Content-Type": "application/json"}


def slack(body, secret=SECRET):
    stamp = str(int(time.time()))
    return {"X-Slack-Request-Timestamp": stamp, "Content-Type": "application/json",
            "X-Slack-Signature": "v0=" + mac(secret, b"v0:" + stamp.encode() + b":" + body).hexdigest()}


def zoom(body, secret=SECRET):
    stamp = str(int(time.time()))
    return {"x-zm-request-timestamp": stamp, "Content-Type": "application/json",
            "x-zm-signature": "v0=" + mac(secret, b"v0:" + stamp.encode() + b":" + body).hexdigest()}


def twilio(url, fields, secret=SECRET):
    text = url + "".join(k + v for k, v in sorted(fields.items()))
    return {"X-Twilio-Signature": base64.b64encode(mac(secret, text.encode(), "sha1").digest()).decode(),
            "Content-Type": "application/x-www-form-urlencoded"}


# ---- certificates ----

def name_of(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class Authority:
    """A root that signs what it is asked to."""

    def __init__(self, name="root"):
        self.name, self.key = name, ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(name_of(name), self.key.public_key(), [(x509.BasicConstraints(True, None), True)])
        self.pem = pem(self.cert)

    def sign(self, subject, public, extensions):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name_of(self.name)).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, usage="client", key=None, address=None):
        """(certificate, its key)"""
        key = key or ec.generate_private_key(ec.SECP256R1())
        oid = x509.ExtendedKeyUsageOID.CLIENT_AUTH if usage == "client" else x509.ExtendedKeyUsageOID.SERVER_AUTH
        names = [x509.IPAddress(ipaddress.ip_address(address))] if address else [x509.DNSName(name)]
        return self.sign(name_of(name), key.public_key(), [(x509.BasicConstraints(False, None), True), (x509.ExtendedKeyUsage([oid]), False),
                                                           (x509.SubjectAlternativeName(names), False)]), key


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def write(folder, name, cert, key):
    folder = pathlib.Path(folder)
    (folder / f"{name}.crt").write_text(pem(cert))
    (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                           serialization.NoEncryption()))
    return folder / f"{name}.crt", folder / f"{name}.key"


# ---- others' servers ----

class Server:
    """Answers each path with a text, and remembers what was asked."""

    def __init__(self, address="127.0.0.1", port=0, tls=None):
        self.texts, self.asked, self.received = {}, [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                text = outer.texts.get(self.path.split("?")[0])
                self.send_response(200 if text is not None else 404)
                self.send_header("Content-Length", str(len(text or "")))
                self.end_headers()
                self.wfile.write((text or "").encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


__all__ = ["Authority", "Hooks", "ORIGIN", "SECRET", "Server", "base64", "der", "eventually", "github", "hashlib", "json", "keystile", "mac", "pem",
           "rsa", "service", "slack", "twilio", "unique", "write", "zoom"]
