"""What the tests of references share: the fakes, checked with the official clients before anything else trusts them, keys and
files of identities, and the program that reads."""
import base64
import hashlib
import json
import os
import pathlib
import queue
import subprocess
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("KEYSTILE_BUILD", HERE.parents[1] / "build")).resolve()
PATIENCE_S = 60
ORG = "org_0000000000001"
TENANT = "sub_0000000000001"
ROLE = "arn:aws:iam::123456789012:role/keystile-reader"
OUR_ARN = "arn:aws:iam::999999999999:user/keystile"
EMAIL = "keystile@operator-1.iam.gserviceaccount.com"
READER = "reader@acme-1.iam.gserviceaccount.com"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/keystile"
ISSUER = "https://keys.example"
DIRECTORY = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
AZURE_VERSION = "0123456789abcdef0123456789abcdef"
AWS_VERSION = "00000000-0000-4000-8000-000000000001"
AWS_OLD = "00000000-0000-4000-8000-000000000002"


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def certificate(folder, name):
    """A key and a certificate that it signed itself, and both in one file."""
    key, pem, bundle = (folder / f"{name}.{end}" for end in ("key", "pem", "bundle"))
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(pem), "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    bundle.write_text(key.read_text() + pem.read_text())
    for path in (key, bundle, pem):
        path.chmod(0o600)
    return key, pem


def public_of(key):
    return subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout"], check=True, capture_output=True, text=True).stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_jwt(key, claims):
    """RS256 by the openssl program."""
    text = ".".join(b64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "k"}, claims))
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), check=True, capture_output=True)
    return f"{text}.{b64url(made.stdout)}"


def thumbprint(pem):
    der = subprocess.run(["openssl", "x509", "-in", str(pem), "-outform", "DER"], check=True, capture_output=True).stdout
    return b64url(hashlib.sha256(der).digest())


class Fakes:
    """The stores, and their control."""

    def __init__(self, folder):
        self.folder = folder
        self.server_key, self.server_pem = certificate(folder, "server")
        self.client_key, self.client_pem = certificate(folder, "client")
        self.other_key, self.other_pem = certificate(folder, "other")
        self.client_public, self.client_thumbprint = public_of(self.client_key), thumbprint(self.client_pem)
        env = {**os.environ, "CERT": str(self.server_pem), "KEY": str(self.server_key), "NODE_NO_WARNINGS": "1"}
        self.errors = open(folder / "fakes.err", "w+", encoding="utf-8")
        self.process = subprocess.Popen(["node", "fakes/fakes.mjs"], cwd=HERE, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True)
        self.ports = json.loads(self.process.stdout.readline())

    def check_with_official_clients(self):
        env = {**os.environ, "NODE_NO_WARNINGS": "1", "NODE_EXTRA_CA_CERTS": str(self.server_pem), "SCRATCH": str(self.folder),
               "CLIENT_CERT": str(self.client_pem), "CLIENT_BUNDLE": str(self.folder / "client.bundle"),
               "OTHER_BUNDLE": str(self.folder / "other.bundle")}
        done = subprocess.run(["node", "official.mjs", json.dumps(self.ports)], cwd=HERE, env=env, capture_output=True, text=True,
                              timeout=PATIENCE_S * 3, check=False)
        lines = done.stdout.splitlines()
        assert lines and lines[-1] == "done" and done.returncode == 0, done.stdout + done.stderr
        assert sum(line.startswith("ok ") for line in lines) >= 45, lines
        return lines

    def url(self, store, tls=False):
        return f"https://localhost:{self.ports[store + '_tls']}" if tls else f"http://127.0.0.1:{self.ports[store]}"

    def control(self, store, **order):
        request = urllib.request.Request(self.url(store) + "/_fake", json.dumps(order).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def state(self, store, **state):
        return self.control(store, state=state)["state"]

    def requests(self, store):
        return self.control(store)["requests"]

    def fault(self, store, kind=None, **more):
        self.control(store, fault={"kind": kind, **more} if kind else None)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.errors.seek(0)
        complaints = self.errors.read()
        self.errors.close()
        assert not complaints, complaints


class Reader:
    """The program that reads references."""

    def __init__(self, identities, *, timeout_ms=4000, concurrency=16, failures=0, open_ms=400, ca_file=None, env=None):
        words = [str(BUILD / "tests" / "vault_secretstore_read"), str(identities), str(timeout_ms), str(concurrency), str(failures), str(open_ms)]
        self.process = subprocess.Popen(words + ([str(ca_file)] if ca_file else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.answers, self.count, self.lock = {}, 0, threading.Condition()
        self.lines = queue.Queue()
        self.started = json.loads(self.process.stdout.readline())
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.lock:
                self.answers[answer["id"]] = answer
                self.lock.notify_all()

    def ask(self, reference, *, org=ORG, tenant=TENANT, timeout_ms=0, worked=False):
        self.count += 1
        text = reference if isinstance(reference, str) else json.dumps(reference)
        self.process.stdin.write("\t".join([str(self.count), org, tenant, str(timeout_ms), "1" if worked else "0", text]) + "\n")
        self.process.stdin.flush()
        return str(self.count)

    def wait(self, number):
        with self.lock:
            assert self.lock.wait_for(lambda: number in self.answers, PATIENCE_S), "no answer"
            return self.answers.pop(number)

    def read(self, reference, **more):
        return self.wait(self.ask(reference, **more))

    def held(self, operation, name, version=1, other="", identity="held"):
        self.count += 1
        self.process.stdin.write("\t".join(["held", str(self.count), operation, identity, name, str(version), str(other)]) + "\n")
        self.process.stdin.flush()
        return self.wait(str(self.count))

    def command(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.wait(word)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) in (0, 1)


def until(condition, what):
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def write_identities(folder, fakes, name="identities.json", **more):
    """One identity for each way to show oneself, all for the fakes."""
    def secret(label, text):
        path = folder / label
        path.write_text(text + "\n")
        path.chmod(0o600)
        return label

    account = {"type": "service_account", "client_email": EMAIL, "private_key_id": "k1", "private_key": fakes.client_key.read_text()}
    secret("account.json", json.dumps(account))
    secret("other-account.json", json.dumps({**account, "private_key": fakes.other_key.read_text()}))
    secret("token", sign_jwt(fakes.client_key, {"iss": ISSUER, "sub": ORG, "aud": "keystile", "iat": int(time.time()), "exp": int(time.time()) + 3600}))
    aws = {"store": "aws", "organizations": ["*"], "access_key_id": "AKIAKEYSTILE", "secret_access_key_file": secret("aws", "base/secret+key"),
           "endpoint": fakes.url("aws"), "sts_endpoint": fakes.url("aws")}
    google = {"store": "gcp", "organizations": ["*"], "direct": True, "endpoint": fakes.url("gcp"), "iam_endpoint": fakes.url("gcp")}
    pool = {**google, "auth": "federation", "audience": POOL, "sts_endpoint": fakes.url("gcp")}
    vault = {"store": "vault", "organizations": ["*"], "address": fakes.url("vault")}
    azure = {"store": "azure", "organizations": ["*"], "client_id": CLIENT, "directory": DIRECTORY, "authority": fakes.url("azure"),
             "endpoint": fakes.url("azure")}
    made = {
        "aws": aws,
        "aws-direct": {**aws, "direct": True},
        "held": {**aws, "direct": True, "organizations": []},
        "aws-wrong": {**aws, "secret_access_key_file": secret("aws-wrong", "wrong")},
        "aws-unknown": {**aws, "access_key_id": "AKIAUNKNOWN"},
        "aws-tls": {**aws, "endpoint": fakes.url("aws", True), "sts_endpoint": fakes.url("aws", True)},
        "aws-nowhere": {**aws, "endpoint": "http://127.0.0.1:1", "sts_endpoint": "http://127.0.0.1:1"},
        "aws-private": {**aws, "endpoint": "https://10.0.0.1", "sts_endpoint": "https://169.254.169.254"},
        "aws-acme": {**aws, "organizations": ["org_acme"], "resources": ["arn:aws:iam::111111111111:role/*"]},
        "gcp": {**google, "key_file": "account.json"},
        "gcp-indirect": {**google, "direct": False, "key_file": "account.json"},
        "gcp-wrong": {**google, "key_file": "other-account.json"},
        "gcp-pool": {**pool, "token_audience": "keystile"},
        "gcp-pool-file": {**pool, "token_file": str(folder / "token")},
        "gcp-pool-gone": {**pool, "audience": POOL + "x", "token_audience": "keystile"},
        "gcp-no-file": {**pool, "token_file": str(folder / "missing")},
        "vault": {**vault, "auth": "token", "token_file": secret("vault-token", "hvs.root")},
        "vault-revoked": {**vault, "auth": "token", "token_file": secret("vault-revoked", "hvs.revoked")},
        "vault-approle": {**vault, "auth": "approle", "role_id": "role-1", "secret_id_file": secret("secret-id", "secret-1")},
        "vault-approle-wrong": {**vault, "auth": "approle", "role_id": "role-1", "secret_id_file": secret("secret-id-2", "secret-2")},
        "vault-jwt": {**vault, "auth": "jwt", "mount": "keystile", "role": "reader", "token_audience": "keystile"},
        "vault-kubernetes": {**vault, "auth": "kubernetes", "role": "reader", "token_file": str(folder / "token")},
        "azure": {**azure, "auth": "client_secret", "client_secret_file": secret("azure", "right~secret&+ %")},
        "azure-wrong": {**azure, "auth": "client_secret", "client_secret_file": secret("azure-wrong", "wrong")},
        "azure-expired": {**azure, "auth": "client_secret", "client_secret_file": secret("azure-expired", "old")},
        "azure-certificate": {**azure, "auth": "certificate", "certificate_file": str(fakes.client_pem), "key_file": str(fakes.client_key)},
        "azure-other-key": {**azure, "auth": "certificate", "certificate_file": str(fakes.client_pem), "key_file": str(fakes.other_key)},
        "azure-federated": {**azure, "auth": "federated", "token_audience": "keystile"},
        "azure-nowhere": {key: value for key, value in {**azure, "auth": "client_secret", "client_secret_file": "azure"}.items() if key != "directory"},
        **more,
    }
    path = folder / name
    path.write_text(json.dumps(made))
    path.chmod(0o600)
    return path


def fill(fakes):
    """What the customer granted."""
    encode = lambda text: base64.b64encode(text.encode()).decode()
    public = fakes.client_public
    orders = {}

    def put(store, **state):
        orders[store] = {"state": state, "fault": None, "forget": True}

    put("aws", skew_s=0, roles={
        ROLE: {"trusts": [OUR_ARN], "external_id": f"keystile:{ORG}", "allows": ["trunk", "binary", "json", "gone", "empty"], "session_s": None},
        ROLE + "-open": {"trusts": [OUR_ARN], "allows": ["trunk"]},
        ROLE + "-other": {"trusts": ["arn:aws:iam::1:user/x"], "allows": ["trunk"]},
        ROLE + "-late": {"trusts": [OUR_ARN], "allows": ["trunk"], "session_s": -1},
    }, principals={"AKIAKEYSTILE": {"allows": ["trunk", "keystile/"]}}, secrets={
        "trunk": {"versions": {AWS_VERSION: {"text": "aws-value \"\u00e9\n"}, AWS_OLD: {"text": "aws-old"}}, "stages": {"AWSCURRENT": AWS_VERSION, "AWSPREVIOUS": AWS_OLD}, "deleted": None, "key_disabled": None, "key_denied": None},
        "binary": {"versions": {AWS_VERSION: {"binary": encode("bin\u0001ary")}}, "stages": {"AWSCURRENT": AWS_VERSION}},
        "empty": {"versions": {AWS_VERSION: {"text": ""}}, "stages": {"AWSCURRENT": AWS_VERSION}},
        "json": {"versions": {AWS_VERSION: {"text": json.dumps({"user": "acme", "sip": {"password": "p\"w"}, "port": 5061, "none": None})}}, "stages": {"AWSCURRENT": AWS_VERSION}},
    })
    principal = f"principal:{POOL}/{ORG}"
    put("gcp", skew_s=0, disabled_api=None,
                accounts={EMAIL: {"keys": {"k1": public}, "disabled": None}, READER: {"keys": {}, "impersonators": [EMAIL, principal], "disabled": None}},
                providers={POOL: {"issuer": ISSUER, "pem": public, "audience": "keystile", "disabled": None}},
                secrets={"projects/acme-1/secrets/trunk": {"readers": [EMAIL, READER, principal], "aliases": {"prod": 1}, "versions": {
                    "1": {"data": encode("gcp-1"), "state": "ENABLED"}, "2": {"data": encode("x"), "state": "DISABLED"},
                    "3": {"data": encode("x"), "state": "DESTROYED"}, "4": {"data": "", "state": "ENABLED"},
                    "5": {"data": encode("gcp-5"), "state": "ENABLED", "wrong_sum": True}, "6": {"data": encode("gcp-6"), "state": "ENABLED"}}},
                    "projects/acme-1/locations/europe-west3/secrets/near": {"readers": [READER], "versions": {"1": {"data": encode("near"), "state": "ENABLED"}}},
                    "projects/acme-1/secrets/closed": {"readers": [], "versions": {"1": {"data": encode("x"), "state": "ENABLED"}}}})
    role = {"pem": public, "issuer": ISSUER, "audience": "keystile", "subject": ORG, "policies": ["read"]}
    put("vault", sealed=None, need_request=True, policies={"read": ["secret/data/voice/*", "kv two/data/a b"]},
                tokens={"hvs.root": {"policies": ["read"]}}, approles={"role-1": {"secret_ids": ["secret-1"], "policies": ["read"]}},
                jwt={"keystile": {"reader": role}, "kubernetes": {"reader": role}},
                kv={"|secret/voice/trunk": {"versions": {"1": {"data": {"password": "vault-1"}}, "2": {"data": {"x": 1}, "deleted": True},
                                                         "3": {"data": {"x": 1}, "destroyed": True}, "4": {"data": {"password": "vault-4", "port": 5060}}}},
                    "team/eu|kv two/a b": {"versions": {"1": {"data": {"x": "spaced"}}}}})
    put("azure", skew_s=0, origin=fakes.url("azure"), directories={DIRECTORY: {"applications": {CLIENT: {
        "secrets": ["right~secret&+ %"], "expired_secrets": ["old"], "certificates": {fakes.client_thumbprint: fakes.client_pem.read_text()}, "disabled": None,
        "federated": [{"issuer": ISSUER, "subject": ORG, "audience": "keystile", "pem": public}]}}}},
        vaults={"": {"directory": DIRECTORY, "readers": [CLIENT], "firewall": None, "secrets": {
            "trunk": {"current": AZURE_VERSION, "versions": {AZURE_VERSION: {"value": "azure-value"}, "f" * 32: {"value": "azure-old"}}},
            "off": {"current": AZURE_VERSION, "versions": {AZURE_VERSION: {"value": "x", "enabled": False}}}}}})
    fakes.control("aws", all=orders)


def aws(secret="trunk", **more):
    return {"store": "aws", "secret": secret, "region": "eu-central-1", "role": ROLE, "external_id": f"keystile:{ORG}", **more}


def gcp(secret="projects/acme-1/secrets/trunk", **more):
    return {"store": "gcp", "secret": secret, **more}


def vault(path="voice/trunk", **more):
    return {"store": "vault", "path": path, **more}


def azure(secret="trunk", **more):
    return {"store": "azure", "vault": "https://acme-voice.vault.azure.net", "secret": secret, **more}
