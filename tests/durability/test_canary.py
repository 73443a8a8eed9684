#!/usr/bin/python3
"""A canary: tokens that are used everywhere, wrongly too, and are found nowhere afterwards."""
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import struct
import sys
import time

import keystile

DOMAIN = "example.test"


# ---- looking for it ----

def disguises(token):
    """The bytes by which a token could be recognised: as it is, in hex, in base64 at every alignment."""
    raw = token.encode()
    found = {raw, binascii.hexlify(raw), binascii.hexlify(raw).upper()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            text = encode(b"\0" * shift + raw)
            # Without what depends on the neighbours.
            found.add(text[[0, 2, 3][shift]:len(text) - 4])
    # A part that is still secret: memory that was given back has its beginning overwritten.
    found |= {raw[-16:], raw[-22:-6]}
    return found


class Canaries:
    def __init__(self):
        self.tokens = {}

    def add(self, name, token):
        self.tokens[name] = token
        return token

    def found_in(self, where, data):
        """What is found, in words."""
        return [f"{name} in {where} at {data.find(text)}" for name, token in self.tokens.items() for text in disguises(token) if text in data]

    def absent(self, where, data):
        found = self.found_in(where, data)
        assert not found, found


def files_of(data):
    """Every file of the data directory, the ring's included."""
    for root in (data, data / "ring"):
        for path in sorted(p for p in root.iterdir() if p.is_file() and not p.is_symlink()):
            yield path


def writable_memory(pid):
    """(name, bytes) of every mapping that the process can write: heap, stacks, pools, the ring."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode, *rest = line.split()
            if not mode.startswith("rw"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            with contextlib.suppress(OSError, ValueError):
                memory.seek(start)
                yield f"{rest[3] if len(rest) > 3 else 'anonymous'} {span}", memory.read(end - start)


def in_memory(canaries, pid):
    return [found for name, bytes_ in writable_memory(pid) for found in canaries.found_in(name, bytes_)]


# ---- using it ----

def put_basic(project, token):
    return "Basic " + base64.b64encode(f"{project}:{token}".encode()).decode()


class World:
    """A daemon with keys of every sort; the tokens of all of them are canaries."""

    def __init__(self, data):
        self.data = data
        self.canaries = Canaries()
        self.answers = []          # every answer but those that show a token
        self.daemon = keystile.Daemon(data, env={"KEYSTILE_LOG_LEVEL": "debug", "KEYSTILE_DOMAIN": DOMAIN,
                                                 "KEYSTILE_HTTP_IDLE_MS": 3600000,
                                                 "KEYSTILE_CREDENTIALS_HEADERS": "tenant=X-Tenant-Key"})

    def start(self):
        self.operator = self.canaries.add("operator", keystile.init(self.data))
        self.daemon.start()
        self.client = self.daemon.client(self.operator)
        acme = self.post("/v1/tenants", {"kind": "organization", "name": "Acme", "slug": "acme"})["id"]
        self.project = self.post("/v1/tenants", {"kind": "project", "parent": acme, "name": "Calls"})["id"]
        self.issued = self.make("issued", tenant=acme)
        self.in_project = self.make("in project", tenant=self.project)
        self.sandbox = self.make("sandbox", tenant=acme, environment="sandbox")
        self.rotated = self.make("rotated", tenant=acme)
        key = self.canaries_of("rotated")
        answer = self.client.call("POST", f"/v1/keys/{key}/rotate", {"overlap_s": 86400})
        self.successor = self.canaries.add("successor", answer.json["token"])
        self.revoked = self.make("revoked", tenant=acme)
        self.call("DELETE", f"/v1/keys/{self.canaries_of('revoked')}")
        answer = self.client.call("POST", "/v1/tenants", {"kind": "organization", "name": "Globex", "first_key": {
            "name": "first", "scopes": ["contacts:read"], "expires_at": None}}, {"Idempotency-Key": "globex"})
        self.first = self.canaries.add("first key of an organization", answer.json["first_key"]["token"])
        self.call("POST", "/v1/tenants", {"kind": "organization", "name": "Globex", "first_key": {
            "name": "first", "scopes": ["contacts:read"], "expires_at": None}}, {"Idempotency-Key": "globex"})
        self.foreign = self.canaries.add("foreign", "sk-live/0dd.canary_" + os.urandom(12).hex())
        line = {"name": "old", "tenant": acme, "scopes": ["contacts:read"], "expires_at": None,
                "sha256": hashlib.sha256(self.foreign.encode()).hexdigest(), "prefix": "sk-live", "last_four": self.foreign[-4:]}
        self.call("POST", "/v1/keys/import", json.dumps(line), {"Content-Type": "application/jsonl"})
        self.unknown = self.canaries.add("never issued", "ks_" + os.urandom(16).hex())

    def canaries_of(self, name):
        return self.ids[name]

    ids = None

    def make(self, name, **members):
        body = {"name": name, "scopes": ["contacts:read"], "expires_at": None, **members}
        answer = self.client.call("POST", "/v1/keys", body, {"Idempotency-Key": f"make-{name.replace(' ', '-')}"})
        assert answer.status == 201, answer
        self.ids = {**(self.ids or {}), name: answer.json["id"]}
        token = self.canaries.add(name, answer.json["token"])
        # The same again: the outcome, without the token.
        self.call("POST", "/v1/keys", body, {"Idempotency-Key": f"make-{name.replace(' ', '-')}"}, expect=201)
        return token

    def post(self, path, body):
        answer = self.client.call("POST", path, body)
        assert answer.status == 201, answer
        return answer.json

    def call(self, method, path, body=None, headers=None, token=None, expect=None, client=None):
        """One call; its answer must hold no canary."""
        answer = (client or self.client).call(method, path, body, headers, token)
        text = "".join(f"{k}: {v}\n" for k, v in answer.headers.items()).encode() + answer.body
        self.canaries.absent(f"the answer to {method} {re.sub('[0-9a-f]{32}', '<hex>', path)}", text)
        self.answers.append(answer)
        if expect:
            assert answer.status == expect, answer
        return answer

    def raw(self, text):
        """Bytes as an attacker sends them; whatever comes back."""
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=keystile.PATIENCE_S) as s:
            with contextlib.suppress(OSError):
                s.sendall(text.encode("latin-1"))
                s.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                while piece := s.recv(65536):
                    answer += piece
        self.canaries.absent(f"the answer to {text[:40]!r}", answer)

    def hang_up(self, text):
        """Goes away in the middle."""
        s = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=keystile.PATIENCE_S)
        s.sendall(text.encode("latin-1"))
        s.close()


def use_rightly(w):
    gateway = {"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts"}
    for token, status in ((w.issued, 200), (w.sandbox, 200), (w.rotated, 200), (w.successor, 200), (w.foreign, 200), (w.first, 200),
                          (w.revoked, 401), (w.unknown, 401)):
        w.call("GET", "/v1/authorize", headers=gateway, token=token, expect=status)
        client = w.daemon.client()
        w.call("GET", "/v1/authorize", headers={"X-API-Key": token, **gateway}, expect=status, client=client)
        w.call("GET", "/v1/authorize", headers={"X-Tenant-Key": token, **gateway}, expect=status, client=client)
        client.close()
        for body in ({"credential": token}, {"authorization": f"Bearer {token}"}, {"credential": token, "method": "GET", "path": "/api/v1/contacts"}):
            w.call("POST", "/v1/verify", body, expect=200)
            w.call("POST", "/v1/verify/batch", {"items": [body, body]}, expect=200)
        w.call("POST", "/v1/introspect", f"token={token}", {"Content-Type": "application/x-www-form-urlencoded"}, expect=200)
        local = w.daemon.local()
        w.call("POST", "/v1/explain", {"credential": token, "method": "GET", "path": "/api/v1/contacts"}, client=local, expect=200)
        local.close()
        w.call("GET", "/v1/account", token=token)
    host = f"acme.{DOMAIN}"
    basic = {"Authorization": put_basic(w.project, w.in_project), "Host": host}
    client = w.daemon.client()
    w.call("GET", "/v1/authorize", headers={**gateway, **basic}, client=client, expect=200)
    w.call("GET", "/v1/authorize", headers={**gateway, "Authorization": put_basic("prj_nobody", w.in_project)}, client=client, expect=401)
    w.call("POST", "/v1/verify", {"authorization": basic["Authorization"], "host": host}, expect=200)
    w.call("POST", "/v1/revoke", f"token={w.canaries.add('to be revoked', w.make('to be revoked'))}",
           {"Content-Type": "application/x-www-form-urlencoded"})


def use_wrongly(w):
    """In every place where a token does not belong but somebody will put it."""
    t = w.issued
    client = w.daemon.client()
    for headers in ({"Authorization": f"Token {t}"}, {"Authorization": t}, {"Authorization": f"Bearer  {t} x"}, {"Authorization": f"Basic {t}"},
                    {"Authorization": f"Bearer {t}", "X-API-Key": t}, {"Authorization": put_basic(t, t)},
                    {"Authorization": f"Bearer {t}", "X-Tenant-Id": t}, {"Authorization": f"Bearer {t}", "Cookie": f"session={t}"},
                    {"Authorization": f"Bearer {t}", "X-Forwarded-For": t}, {"Authorization": f"Bearer {t}", "traceparent": t},
                    {"Authorization": f"Bearer {t}", "Host": f"{t}.{DOMAIN}"}, {"Authorization": f"Bearer {t}", "User-Agent": t},
                    {"Authorization": f"Bearer {t}", "Referer": f"http://x/?token={t}"}):
        for uri in ("/api/v1/contacts", f"/api/v1/contacts?token={t}", f"/api/v1/{t}", f"/api//{t}", "/nothing"):
            w.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": uri, **headers}, client=client)
    for method, target in (("GET", f"/v1/authorize?token={t}"), ("GET", f"/v1/keys/{t}"), ("GET", f"/v1/keys?q={t}"), ("GET", f"/v1/{t}"),
                           ("GET", f"/v1/keys?cursor={t}"), ("GET", f"/v1/keys?tenant={t}"), ("GET", f"/v1/keys?status={t}"),
                           ("DELETE", f"/v1/keys/{t}"), ("GET", f"/v1/tenants/{t}"), ("GET", f"/v1/audit?actor={t}"), ("GET", f"/{t}/../x"),
                           ("GET", f"/v1/keys/%zz{t}"), (t.upper(), "/v1/keys")):
        w.call(method, target)
    for body in ({"name": "n", "expires_at": t}, {"name": 5, "kind": t}, {"name": "n", "expires_at": None, "tenant": t},
                 {"name": "n", "expires_at": None, "user": t}, {"name": "n", "expires_at": None, "scopes": [t]},
                 {"name": "n", "expires_at": None, "roles": [t]}, {"name": "n", "expires_at": None, "environment": t},
                 {"name": "n", "expires_at": None, "addresses": [t]}, {"name": "n", "expires_at": None, "rate_limit": t}, [t], t):
        w.call("POST", "/v1/keys", json.dumps(body), {"Content-Type": "application/json"})
    for text in (f'{{"credential": "{t}', f'{{"credential": "{t}" "x"}}', f'{{"credential": {t}}}', f'{{"credential": "{t}", "credential": "{t}"}}',
                 f'"{t}"', t, f'{{"credential": "{t}\\x"}}', f'{{"credential": "{t}\xff"}}'.encode("latin-1"), f'[{t}]', f'{{"a": "{t}"}} {t}'):
        w.call("POST", "/v1/verify", text, {"Content-Type": "application/json"})
    for text in (f"token={t}&token={t}", f"token=%zz{t}", f"token_type_hint={t}&token={t}", t):
        w.call("POST", "/v1/introspect", text, {"Content-Type": "application/x-www-form-urlencoded"})
    for line in (f'{{"token": "{t}"}}', f'{{"sha256": "{t}"}}', t, f'{{"name": "n", "expires_at": null, "sha256": "{t}", "last_four": "{t}"}}'):
        w.call("POST", "/v1/keys/import", line + "\n", {"Content-Type": "application/jsonl"})
    for text in (f"{t}\r\n\r\n", f"GET /{t}\r\n\r\n", f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {t}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {t}\r\n\r\n", f"GET / HTTP/1.1\r\nHost: {t}\r\nHost: {t}\r\n\r\n",
                 f"GET /v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {t}\r\nAuthorization: Bearer {t}\r\n\r\n",
                 f"POST /v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {t}\r\n\r\n", f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {t}\r\n\r\n",
                 f"GET /v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {t}\x00\r\n\r\n", f"GET / HTTP/9.{t}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: x\r\nX-A: {t * 800}\r\n\r\n", f"GET /?{t * 400} HTTP/1.1\r\nHost: x\r\n\r\n"):
        w.raw(text)
    for text in (f"GET /v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {t}\r\n", f"GET /?token={t}",
                 f"POST /v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {t}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
                 f'{{"credential": "{t}"'):
        w.hang_up(text)
    client.close()


def use_on_the_command_line(w):
    request = ["--method", "GET", "--path", "/api/v1/contacts"]

    def said(expect, *arguments, **more):
        done = keystile.run(*arguments, data=w.data, **more)
        assert done.code == expect, done
        w.canaries.absent(f"what `keystile {arguments[0]}` says", (done.out + done.err).encode())

    for as_json in ([], ["--json"]):
        for token, code in ((w.issued, 0), (w.revoked, 3), (w.unknown, 3)):
            said(code, "verify", token, *request, *as_json)
            said(code, "verify", *request, *as_json, env={"KEYSTILE_TOKEN": token})
            said(code, "verify", *request, *as_json, input=token + "\n")
            said(code, "verify", "--authorization", *request, *as_json, input=f"Bearer {token}\n")
            said(code, "explain", *request, *as_json, input=token + "\n")
        said(2, "verify", w.issued, w.issued, *as_json)
        said(1, "keys", "show", w.issued, *as_json)
        said(1, "keys", "create", "--name", "n", "--scope", w.issued, *as_json)
        said(2, "keys", "create", "--name", "n", "--expires", w.issued, *as_json)
        said(1, "keys", "import", "-", *as_json, input=f'{{"token": "{w.issued}"}}\n')
        said(0, "keys", "list", *as_json)
    said(2, w.issued)


def wait_out_of_memory(w):
    """The last answer is sent a moment before its buffers are wiped: until then, no longer."""
    end = time.monotonic() + 20
    found = in_memory(w.canaries, w.daemon.process.pid)
    while found and time.monotonic() < end:
        found = in_memory(w.canaries, w.daemon.process.pid)
    assert not found, "\n".join(found)


def test_a_canary_is_found_nowhere():
    with keystile.temporary_data() as data:
        w = World(data)
        w.start()
        use_rightly(w)
        wait_out_of_memory(w)
        use_wrongly(w)
        use_on_the_command_line(w)
        # Everything that can be read of the service, after the use of everything.
        for path in ("/metrics", "/v1/audit?limit=500", "/v1/keys?limit=500", "/v1/tenants", "/v1/policy", "/readyz",
                     *(f"/v1/keys/{id}/usage" for id in w.ids.values())):
            w.call("GET", path, expect=200)
        assert w.daemon.local().call("POST", "/v1/backup", {"path": str(data.parent / "backup.db")}).status == 200
        w.client.close()

        # The search finds what is there: the name of a key stands in the store, the path of the data directory in memory.
        assert b"in project" in b"".join(path.read_bytes() for path in files_of(data))
        assert any(str(data).encode() in text for _, text in writable_memory(w.daemon.process.pid))
        assert sum(1 for _ in files_of(data)) >= 6

        for path in files_of(data):
            w.canaries.absent(path.name, path.read_bytes())
        w.canaries.absent("the backup", (data.parent / "backup.db").read_bytes())
        pid = w.daemon.process.pid
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                w.canaries.absent(name, file.read())
        assert w.daemon.stop() == 0
        for path in files_of(data):
            w.canaries.absent(path.name, path.read_bytes())
        w.canaries.absent("the log", bytes(w.daemon.raw))
        assert {"request_refused"} <= {line["event"] for line in w.daemon.log}


# ---- people ----

PASSWORDS = ("a first passphrase 7731", "another passphrase 9912", "a wrong passphrase 4410")


def totp_code(secret, offset):
    mac = hmac.new(secret, struct.pack(">Q", int(time.time()) // 30 + offset), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


def be_a_person(daemon, operator, canaries):
    """Everything that a user does with its secrets, rightly and wrongly."""
    def call(method, path, body=None, headers=None, expect=200, token=None):
        client = daemon.client(token)
        answer = client.call(method, path, body, {"X-Keystile-Request": "1", **(headers or {})})
        client.close()
        assert answer.status == expect, answer
        return answer

    def post(path, body, **more):
        return call("POST", path, body, **more)

    org = post("/v1/tenants", {"kind": "organization", "name": "Acme"}, token=operator, expect=201).json["id"]
    made = post("/v1/users", {"organization": org, "email": "ada@canary.test"}, token=operator, expect=201,
                headers={"Idempotency-Key": "invite"}).json
    first, second, wrong = PASSWORDS
    token = canaries.add("invitation", made["invitation"]["token"])
    assert token not in post("/v1/users", {"organization": org, "email": "ada@canary.test"}, token=operator, expect=201,
                             headers={"Idempotency-Key": "invite"}).body.decode()
    post("/v1/invitations/accept", {"token": token, "password": "short"}, expect=422)
    post("/v1/invitations/accept", {"token": token, "password": first})
    post("/v1/invitations/accept", {"token": token, "password": second}, expect=410)
    login = {"email": "ada@canary.test", "password": first}
    for body, status in ((login, 200), ({**login, "password": wrong}, 401), ({**login, "email": "nobody@canary.test"}, 401),
                         ({**login, "password": [first]}, 422), ({**login, "as": first}, 422)):
        answer = post("/v1/session", body, expect=status)
    cookie = post("/v1/session", login).headers["Set-Cookie"].split(";")[0]
    canaries.add("cookie", cookie.split("=")[1])
    mine = {"Cookie": cookie}
    secret = post("/v1/account/totp", {"password": first}, headers={**mine, "Idempotency-Key": "totp"}, expect=201).json["secret"]
    canaries.add("secret of one-time codes", secret)
    raw = base64.b32decode(secret)
    codes = post("/v1/account/totp/confirm", {"code": totp_code(raw, -1)}, headers={**mine, "Idempotency-Key": "codes"}).json
    for i, code in enumerate(codes["recovery_codes"]):
        canaries.add(f"recovery code {i}", code)
    post("/v1/session", {**login, "totp": codes["recovery_codes"][0]})
    canaries.add("JWT", post("/v1/session", {**login, "totp": totp_code(raw, 0), "as": "jwt"}).json["token"])
    post("/v1/account/password", {"password": first, "new_password": second}, headers={**mine, "Idempotency-Key": "change"})
    post("/v1/account/password", {"password": wrong, "new_password": first}, headers=mine, expect=403)
    for headers in ({"Cookie": f"{cookie}; {cookie}"}, {"Authorization": f"Bearer {cookie.split('=')[1]}"}):
        call("GET", "/v1/session", headers=headers, expect=401)
    call("DELETE", "/v1/session", headers=mine)
    return raw


def test_people_leave_no_secret():
    with keystile.temporary_data() as data:
        canaries = Canaries()
        daemon = keystile.Daemon(data, env={"KEYSTILE_LOG_LEVEL": "debug", "KEYSTILE_HTTP_IDLE_MS": 3600000}).start()
        for i, password in enumerate(PASSWORDS):
            canaries.add(f"password {i}", password)
        raw = be_a_person(daemon, daemon.first_key, canaries)
        end = time.monotonic() + 20
        while (found := in_memory(canaries, daemon.process.pid)) and time.monotonic() < end:
            pass
        assert not found, "\n".join(found)
        assert daemon.local().call("POST", "/v1/backup", {"path": str(data.parent / "backup.db")}).status == 200
        assert daemon.stop() == 0
        for path in (*files_of(data), data.parent / "backup.db"):
            canaries.absent(path.name, path.read_bytes())
            assert raw not in path.read_bytes(), path
        # The address is in clear; so the search finds what is there.
        assert b"ada@canary.test" in (data.parent / "backup.db").read_bytes()
        canaries.absent("the log", bytes(daemon.raw))


def test_first_key_of_serve_is_shown_once_and_forgotten():
    with keystile.temporary_data() as data:
        canaries = Canaries()
        daemon = keystile.Daemon(data, env={"KEYSTILE_LOG_LEVEL": "debug"}).start()
        canaries.add("first key", daemon.first_key)
        assert daemon.raw.count(daemon.first_key.encode()) == 1
        assert not any(daemon.first_key in json.dumps(line) for line in daemon.log)
        assert not in_memory(canaries, daemon.process.pid)
        for path in files_of(data):
            canaries.absent(path.name, path.read_bytes())
        assert daemon.stop() == 0
        with keystile.Daemon(data) as daemon:
            assert daemon.first_key is None


def test_no_core_is_left():
    """Whoever makes it abort gets nothing: neither a file nor what the kernel would hand to a collector of cores."""
    with keystile.temporary_data() as data:
        place = data.parent / "cwd"
        place.mkdir()

        def unlimited():
            import resource
            resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
            os.chdir(place)

        daemon = keystile.Daemon(data, limits=unlimited).start()
        with open(f"/proc/{daemon.process.pid}/limits", encoding="ascii") as limits:
            core = next(line for line in limits if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        daemon.process.send_signal(signal.SIGABRT)
        _, status = os.waitpid(daemon.process.pid, 0)
        daemon.process.returncode = -os.WTERMSIG(status)
        daemon.wait_exit()
        assert os.WTERMSIG(status) == signal.SIGABRT
        assert not os.WCOREDUMP(status)
        assert os.listdir(place) == []


# ---- the vault ----

PROVIDER = """version: 1
name: canary
label: Canary
about: Values that are looked for everywhere, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret, pattern: "canary-[a-z]{3}-[0-9a-f]{32}", message: is a canary}
  key: {label: Key, type: file, secret: true, required: false}
"""
CHALLENGE = 'Digest realm="x", nonce="n1", algorithm=SHA-256, qop="auth"'


def keeper_of(daemon):
    for task in os.listdir(f"/proc/{daemon.process.pid}/task"):
        with open(f"/proc/{daemon.process.pid}/task/{task}/children", encoding="ascii") as children:
            for pid in children.read().split():
                with open(f"/proc/{pid}/comm", encoding="ascii") as name:
                    if name.read().startswith("keystile-keepe"):
                        return int(pid)
    return None


def wait_for(condition, what):
    end = time.monotonic() + keystile.PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return found


class Vault:
    """A provider whose values are canaries, by every way in and out."""

    def __init__(self, daemon, canaries):
        self.daemon, self.canaries = daemon, canaries
        self.organization = self.do("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201).json["id"]
        body = {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
        self.token = self.do("POST", "/v1/keys", body, 201).json["token"]
        self.provider = self.do("POST", "/v1/providers", {"tenant": self.organization, "platform": "canary", "name": "p"}, 201).json["id"]
        self.field("user", "alice")

    def do(self, method, target, body=None, expect=200, headers=None, token=None, shows=()):
        """One call; its answer holds no canary but those that it is to show."""
        client = self.daemon.client(token) if token or target.startswith("/intake") else self.daemon.local()
        answer = client.call(method, target, body, headers)
        client.close()
        assert expect in (None, answer.status), answer
        text = "".join(f"{k}: {v}\n" for k, v in answer.headers.items()).encode() + answer.body
        found = self.canaries.found_in(f"the answer to {method}", text)
        assert all(any(f.startswith(f"{name} in ") for name in shows) for f in found), found
        return answer

    def field(self, name, value, expect=200):
        return self.do("PUT", f"/v1/providers/{self.provider}/fields/{name}", {"value": value}, expect)

    def canary(self, name):
        return self.canaries.add(name, f"canary-{name[:3]}-{os.urandom(16).hex()}")

    def link(self):
        made = self.do("POST", f"/v1/providers/{self.provider}/fields/password/links", {"expires_in_s": 3600}, 201).json
        self.canaries.add(f"token of {made['id']}", made["url"].rsplit("/", 1)[1])
        return "/" + made["url"].split("/", 3)[3]

    def reveal(self, call, shows, expect=200):
        return self.do("POST", f"/v1/providers/{self.provider}/reveal", {"call_id": call}, expect, token=self.token, shows=shows)


def use_the_vault(v):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    wrong = v.canary("wrong")
    v.field("password", v.canary("api"))
    v.field("password", wrong + "x", 422)
    v.do("PUT", f"/v1/providers/{v.provider}/fields/password", {"value": wrong, "more": wrong}, 422)
    v.do("PUT", f"/v1/providers/{v.provider}/fields/{wrong}", {"value": wrong}, 404)
    v.do("PUT", f"/v1/providers/{v.provider}/fields/password", f'{{"value": "{wrong}', 400, {"Content-Type": "application/json"})
    v.do("PUT", f"/v1/providers/{v.provider}/fields/password", {"reference": {"store": "aws", "secret": wrong, "token": wrong}}, 422)
    v.reveal("c1", ["api"])
    path = v.link()
    v.do("GET", path)
    v.do("POST", path, f"value={wrong}x", 422, form)
    entered = v.canary("form")
    v.do("POST", path, f"value={entered}", 200, form)
    v.do("POST", path, f"value={entered}", 410, form)
    part = v.canary("part")
    v.do("POST", v.link(), f'--x\r\nContent-Disposition: form-data; name="value"\r\n\r\n{part}\r\n--x--\r\n', 200,
         {"Content-Type": "multipart/form-data; boundary=x"})
    v.reveal("c1", ["api"])
    v.reveal("c2", ["part"])
    v.do("POST", f"/v1/providers/{v.provider}/digest", {"call_id": "c3", "challenge": CHALLENGE, "method": "REGISTER", "uri": "sip:x"},
         token=v.token)
    v.do("POST", f"/v1/providers/{v.provider}/fields/password/rollback")
    v.reveal("c4", ["form"])
    key = v.canaries.add("key", "-----BEGIN PRIVATE KEY-----\n" + "\n".join(os.urandom(24).hex() for _ in range(4)) + "\n-----END PRIVATE KEY-----\n")
    v.field("key", key)
    v.do("POST", "/v1/vault/rewrap", {"rotate": True})


def limits_of(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        return next(line for line in limits if line.startswith("Max core file size")).split()[4:6]


def test_values_of_the_vault_are_found_nowhere():
    """Neither in what the service leaves and says, nor in the memory of both processes after the use, nor in what a keeper leaves that
    is made to end by a fault of its own while it works."""
    with keystile.temporary_data() as data:
        place, own = data.parent / "cwd", data.parent / "own"
        place.mkdir()
        own.mkdir()
        (own / "canary.yaml").write_text(PROVIDER)

        def unlimited():
            import resource
            resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
            os.chdir(place)

        env = {"KEYSTILE_LOG_LEVEL": "debug", "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_PLATFORMS_OWN": own}
        canaries = Canaries()
        daemon = keystile.Daemon(data, env=env, limits=unlimited).start()
        vault = Vault(daemon, canaries)
        use_the_vault(vault)
        for number, how in enumerate((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)):
            keeper = keeper_of(daemon)
            assert limits_of(keeper) == ["0", "0"]
            os.kill(keeper, how)
            wait_for(lambda: keeper_of(daemon) not in (None, keeper), "another keeper")
            wait_for(lambda: daemon.call("GET", "/readyz").status == 200, "it is ready")
            vault.reveal(f"after-{number}", ["form", "key"])
        for target in ("/metrics", "/v1/audit?limit=500", "/v1/events?limit=500", f"/v1/providers/{vault.provider}/report",
                       f"/v1/providers/{vault.provider}/fields", f"/v1/providers/{vault.provider}/links"):
            vault.do("GET", target)
        for pid in (daemon.process.pid, keeper_of(daemon)):
            end = time.monotonic() + 20
            while (found := in_memory(canaries, pid)) and time.monotonic() < end:
                pass
            assert not found, "\n".join(found)
            assert sum(len(text) for _, text in writable_memory(pid)) > 1 << 18, "the memory was read"
        assert daemon.local().call("POST", "/v1/backup", {"path": str(data.parent / "backup.db")}).status == 200
        # The WAL is there: the store is open.
        assert (data / "keystile.db-wal").exists()
        for path in (*files_of(data), data.parent / "backup.db"):
            canaries.absent(path.name, path.read_bytes())
        assert os.listdir(place) == []
        assert daemon.stop() == 0
        assert os.listdir(place) == []
        for path in files_of(data):
            canaries.absent(path.name, path.read_bytes())
        canaries.absent("the log", bytes(daemon.raw))
        # The search finds what is there.
        assert b"alice" not in (data.parent / "backup.db").read_bytes() and b"canary" in (data.parent / "backup.db").read_bytes()


def test_values_of_customers_stores_are_found_nowhere(tmp_path):
    """What is read of customers' stores, at each of the four, and of held values at AWS."""
    sys.path.insert(0, str(keystile.SOURCE / "tests" / "vault"))
    import references as r

    fakes = r.Fakes(tmp_path)
    r.fill(fakes)
    own = tmp_path / "own"
    own.mkdir()
    (own / "canary.yaml").write_text(PROVIDER)
    env = {"KEYSTILE_LOG_LEVEL": "debug", "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_PLATFORMS_OWN": own,
           "KEYSTILE_REFERENCES_IDENTITIES": r.write_identities(tmp_path, fakes), "KEYSTILE_FETCH_ALLOW": "127.0.0.1",
           "KEYSTILE_VAULT_HELD_STORE": "aws", "KEYSTILE_VAULT_HELD_IDENTITY": "held", "KEYSTILE_VAULT_HELD_REGION": "eu-central-1"}
    with keystile.temporary_data() as data:
        canaries = Canaries()
        daemon = keystile.Daemon(data, env=env).start()
        vault = Vault(daemon, canaries)
        values = {store: vault.canary(store) for store in ("aws", "gcp", "vault", "azure")}
        encode = lambda text: base64.b64encode(text.encode()).decode()
        fakes.state("aws", secrets={"trunk": {"versions": {r.AWS_VERSION: {"text": values["aws"]}}}},
                    roles={r.ROLE: {"external_id": f"keystile:{vault.organization}"}})
        fakes.state("gcp", secrets={"projects/acme-1/secrets/trunk": {"versions": {"6": {"data": encode(values["gcp"])}}}})
        fakes.state("vault", kv={"|secret/voice/trunk": {"versions": {"4": {"data": {"password": values["vault"], "port": 5060}}}}})
        fakes.state("azure", vaults={"": {"secrets": {"trunk": {"versions": {r.AZURE_VERSION: {"value": values["azure"]}}}}}})
        for store, reference in (("aws", r.aws(external_id=f"keystile:{vault.organization}")), ("gcp", r.gcp()),
                                 ("vault", r.vault(member="password")), ("azure", r.azure())):
            vault.do("PUT", f"/v1/providers/{vault.provider}/fields/password", {"reference": reference})
            assert vault.reveal(store, [store]).json["fields"]["password"] == values[store]
            for kind in ("partial", "fail"):
                fakes.fault(store, kind)
                assert vault.reveal(f"{store}-{kind}", [], None).status in (502, 503)
            fakes.fault(store)
        vault.field("password", vault.canary("held"))
        vault.reveal("held", ["held"])
        end = time.monotonic() + 20
        while (found := in_memory(canaries, daemon.process.pid)) and time.monotonic() < end:
            pass
        assert not found, "\n".join(found)
        assert daemon.stop() == 0
        for path in files_of(data):
            canaries.absent(path.name, path.read_bytes())
        canaries.absent("the log", bytes(daemon.raw))
        # What lies at AWS is sealed.
        canaries.absent("AWS", json.dumps({n: s for n, s in fakes.control("aws")["state"]["secrets"].items()
                                           if n.startswith("keystile/")}).encode())
    fakes.stop()
