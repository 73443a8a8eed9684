#!/usr/bin/python3
"""Runs every benchmark and prints each claim beside its reference, measured in the same run.

    bench/run.py [--keys N] [--only NAME,...] [--write]

Builds build-bench (release). --keys scales the large ones (default 10,000,000, which takes some 4 GB of memory and disk).
--write puts the table into bench/RESULTS.md. Names: decision, jose, hooksig, authorize, scale, create, import, revocation, analysis, lists, reference, audit, reveal, inbound, delivery, probes."""
import argparse
import contextlib
import hmac
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
BUILD = ROOT / "build-bench"
KEYSTILE = BUILD / "keystile"
ROWS = []


def row(what, measured, reference, ratio, target, good):
    ROWS.append((what, measured, reference, ratio, target, "pass" if good else "**short**"))
    print(f"  {what}: {measured}; {reference}; {ratio}; wanted {target}: {'pass' if good else 'SHORT'}", flush=True)


def tool(name):
    return str(BUILD / "bench" / f"bench_{name}")


def run(*command, env=None, check=True, **more):
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Service:
    """A daemon on its own data directory; `cpu` pins it."""

    def __init__(self, data, cpu=None, env=None, threads=1):
        self.data = str(data)
        command = [str(KEYSTILE), "serve", "--data", self.data, "--listen", "127.0.0.1:0",
                   "--policy", str(ROOT / "policies" / "demo.yaml")]
        if cpu is not None:
            command = ["taskset", "-c", str(cpu)] + command
        self.log = open(f"{self.data}.log", "wb")
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE,
                                        env={**os.environ, "KEYSTILE_HTTP_THREADS": str(threads), **(env or {})})
        self.first_key = None
        for line in self.process.stderr:
            text = line.decode()
            if text.startswith("The operator's first key"):
                self.first_key = text.split()[-1]
            if '"event":"listening"' in text:
                self.address = json.loads(text)["address"]
                break
        else:
            sys.exit(f"the service on {self.data} did not start")
        self.url = f"http://{self.address}"

    def get(self, path, headers=None):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers or {})) as answer:
            return answer.read()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.stderr.close()
        self.process.wait()
        self.log.close()


class Local(http.client.HTTPConnection):
    """The API as the owner of a data directory: over the service's local socket."""

    def __init__(self, data):
        super().__init__("localhost")
        self.path = str(pathlib.Path(data) / "keystile.sock")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def ask(self, method, target, body=None):
        """The answer and the seconds that it took."""
        text = None if body is None else json.dumps(body)
        start = time.monotonic()
        self.request(method, target, body=text, headers={"Content-Type": "application/json"} if text else {})
        answer = self.getresponse()
        content = answer.read()
        took = time.monotonic() - start
        if answer.status >= 300:
            sys.exit(f"{method} {target}: {answer.status} {content[:500]}")
        return json.loads(content), took


def cli(data, *words):
    return run(str(KEYSTILE), *words, "--data", str(data), "--json")


def remove(data):
    ring = pathlib.Path(data) / "ring"
    if ring.is_symlink():
        shutil.rmtree(ring.resolve(), ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def wrk(url, script, seconds, connections, env, cpu=1):
    out = run("taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
              str(BENCH / script), url, env=env)
    found = re.search(r"RATE (\d+) P50 (\d+) P99 (\d+) ERRORS (\d+)", out)
    rate, p50, p99, errors = map(int, found.groups())
    return rate, p50, p99, errors


def callers(port, target, key, connections, seconds):
    """The same of as many runtime clients, by a program that takes less of the processors than wrk does."""
    out = run(tool("callers"), str(port), target, key, str(connections), str(seconds))
    return tuple(map(int, re.search(r"RATE (\d+) P50 (\d+) P99 (\d+) ERRORS (\d+)", out).groups()))


def median(values):
    return sorted(values)[len(values) // 2]


# ---- one section a claim ----

def decision(args, scratch):
    out = run(tool("decision"), "--keys", str(args.keys), check=False)
    print(out)
    for found in re.finditer(r"RESULT (\S+) ratio=(\S+) target=(\S+) (\w+)", out):
        name, ratio, target, verdict = found.groups()
        row(name.replace("_", " "), "see above", "hash and bare table, same run", f"{ratio} x", f"at most {target} x", verdict == "pass")


def jose(args, scratch):
    out = run(tool("jose"), check=False)
    print(out)
    for found in re.finditer(r"RESULT (\S+) ratio=(\S+) target=(\S+) (\w+)", out):
        name, ratio, target, verdict = found.groups()
        what = ("decision by a JWT: issuer, signature, claims, slot, route, tenant" if name.endswith("-decision")
                else "token: parsed, verified, claims read and checked")
        row(f"{name.removesuffix('-decision')} {what}", "see above",
            "the crypto library's bare check of the same signature", f"{ratio} x", f"at most {target} x", verdict == "pass")


def hooksig(args, scratch):
    for line in run(tool("hooksig")).splitlines():
        one = json.loads(line)
        bare, whole = one["bare_ns"], one["whole_ns"]
        limit = {"HMAC-SHA256": 1.5 + 1000 / bare, "JWT of RS256": None}.get(one["scheme"], 1.1)
        row(f"webhook verified, {one['scheme']}, 1 KiB", f"{whole / 1000:.1f} µs", f"the crypto library's bare check {bare / 1000:.1f} µs",
            f"{one['ratio']:.2f} x", f"at most {limit:.2f} x" if limit else "", limit is None or one["ratio"] <= limit)


def fill(data, tenants, keys, how="keys"):
    """Organizations, then keys by import; returns the seconds that the import took."""
    ids = pathlib.Path(f"{data}.tenants")
    if not ids.exists():
        ids.write_text(run(tool("populate"), str(data), str(tenants)))
    start = time.monotonic()
    maker = subprocess.Popen([tool("make_keys"), how, "0", str(keys)], stdin=open(ids), stdout=subprocess.PIPE)
    subprocess.run([str(KEYSTILE), "keys", "import", "-", "--data", str(data)], stdin=maker.stdout, check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "KEYSTILE_POLICY": str(ROOT / "policies" / "demo.yaml")})
    maker.wait()
    return time.monotonic() - start


def tokens_file(scratch, count):
    path = pathlib.Path(scratch) / "tokens"
    path.write_text(run(tool("make_keys"), "tokens", "0", str(count)))
    return str(path)


NGINX = """daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
 uwsgi_temp_path {dir}; scgi_temp_path {dir};
 server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }} }}
"""


def authorize(args, scratch):
    keys = min(args.keys, 1000000)
    data = scratch / "authorize"
    fill(data, 10000, keys)
    env = {"TOKENS": tokens_file(scratch, min(keys, 200000))}
    (scratch / "nginx").mkdir(exist_ok=True)
    conf = scratch / "nginx" / "nginx.conf"
    conf.write_text(NGINX.format(dir=scratch / "nginx", port=7390))
    nginx = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(conf), "-p", str(scratch / "nginx")], stderr=subprocess.DEVNULL)
    service = Service(data, cpu=0)
    ratios, p99s, ours, theirs = [], [], [], []
    wrk("http://127.0.0.1:7390/v1/authorize", "authorize.lua", 1, 48, env)
    for _ in range(5):
        a = wrk("http://127.0.0.1:7390/v1/authorize", "authorize.lua", 4, 48, env)
        b = wrk(service.url + "/v1/authorize", "authorize.lua", 4, 48, env)
        if b[3]:
            sys.exit(f"authorize: {b[3]} requests were not answered 200")
        ratios.append(b[0] / a[0])
        p99s.append(b[2] / a[2])
        ours.append(b[0])
        theirs.append(a[0])
    service.stop()
    nginx.terminate()
    nginx.wait()
    row(f"GET /v1/authorize, {keys:,} keys, one core", f"{median(ours):,}/s", f"nginx `return 204` {median(theirs):,}/s",
        f"{median(ratios):.2f} x", "at least 0.65 x", median(ratios) >= 0.65)
    row("the same, p99", "see above", "nginx", f"{median(p99s):.2f} x", "at most 2 x", median(p99s) <= 2)
    remove(data)


def first_decision(service, token):
    """Seconds from the start of the process to the first allowed decision."""
    service.get("/v1/authorize", {"Authorization": f"Bearer {token}", "X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts"})
    return time.monotonic() - service.started


def scale(args, scratch):
    data = scratch / "scale"
    seconds = fill(data, 100000, args.keys)
    print(f"  filled with {args.keys:,} keys in {seconds:.1f} s")
    token = run(tool("make_keys"), "tokens", "5", "1").strip()
    service = Service(data)
    stat = json.loads(cli(data, "ring", "stat"))
    bytes_a_key = (stat["ring_bytes"] + stat["usage_bytes"]) / stat["keys"]
    row(f"memory, ring and counters, {stat['keys']:,} keys", f"{bytes_a_key:.0f} bytes a key", "-", "-", "at most 150 bytes",
        bytes_a_key <= 150)
    service.stop()
    service = Service(data)
    clean = first_decision(service, token)
    service.stop(signal.SIGKILL)
    service = Service(data)
    killed = first_decision(service, token)
    row(f"start to first decision, {args.keys:,} keys, after a clean stop", f"{clean:.2f} s", "-", "-", "at most 2 s", clean <= 2)
    row("the same after kill -9", f"{killed:.2f} s", "-", "-", "at most 2 s", killed <= 2)
    start = time.monotonic()
    cli(data, "ring", "rebuild")
    took = time.monotonic() - start
    row("full rebuild from the truth", f"{args.keys / took:,.0f} keys/s", "-", "-", "at least 1,000,000/s", args.keys / took >= 1e6)
    service.stop()
    remove(data)


def create_rate(scratch, name, seconds, connections, env=None):
    data = scratch / name
    service = Service(data, env=env)
    tenant = json.loads(cli(data, "tenants", "create", "--kind", "organization", "--name", "Bench"))["id"]
    result = wrk(service.url + "/v1/keys", "create.lua", seconds, connections,
                 {"KEY": service.first_key, "TENANT": tenant}, cpu="0,1")
    service.stop()
    remove(data)
    if result[3]:
        sys.exit(f"create: {result[3]} creations failed")
    return result[0]


def bare_rate(scratch, count, batch, *what, env=None):
    out = run(tool("store_bare"), str(scratch / "bare.db"), str(count), str(batch), *what, env=env)
    for leftover in scratch.glob("bare.db*"):
        leftover.unlink()
    return float(out)


def create(args, scratch):
    ours, bare = [], []
    for i in range(3):
        bare.append(bare_rate(scratch, 60000, 100))
        ours.append(create_rate(scratch, f"create{i}", 4, 64))
    ratio = median([a / b for a, b in zip(ours, bare)])
    row("durable creations over HTTP, 64 clients", f"{median(ours):,}/s", f"bare SQLite, the same rows, 100 a transaction {median(bare):,.0f}/s",
        f"{ratio:.2f} x", "at least 0.5 x", ratio >= 0.5)
    slow = {"LD_PRELOAD": str(BUILD / "bench" / "libslow_fdatasync.so"), "KEYSTILE_SLOW_FSYNC_MS": "5"}
    one = bare_rate(scratch, 400, 1, env=slow)
    many = create_rate(scratch, "slow", 5, 64, env=slow)
    row("the same with fdatasync slowed to 5 ms", f"{many:,}/s", f"bare SQLite, one at a time {one:,.0f}/s", f"{many / one:.1f} x",
        "at least 30 x", many / one >= 30)


def spin(data, tokens):
    return subprocess.Popen([tool("spin"), str(data / "ring"), "50000"], stdin=open(tokens), stdout=subprocess.PIPE, text=True)


def import_(args, scratch):
    keys = min(args.keys, 2000000)
    data = scratch / "import"
    fill(data, 10000, 100000)
    tokens = tokens_file(scratch, 100000)
    service = Service(data)
    lines = scratch / "lines"
    with open(f"{data}.tenants") as ids, open(lines, "w") as out:
        subprocess.run([tool("make_keys"), "keys", "1000000", str(keys)], stdin=ids, stdout=out, check=True)
    quiet = spin(data, tokens)
    time.sleep(3)
    quiet.terminate()
    before = int(re.search(r"p99_ns (\d+)", quiet.communicate()[0]).group(1))
    busy = spin(data, tokens)
    time.sleep(0.5)
    busy.send_signal(signal.SIGUSR1)
    start = time.monotonic()
    cli(data, "keys", "import", str(lines))
    rate = keys / (time.monotonic() - start)
    busy.terminate()
    during = int(re.search(r"p99_ns (\d+)", busy.communicate()[0]).group(1))
    service.stop()
    remove(data)
    bare = bare_rate(scratch, keys, 32768, "keys")
    row(f"import of {keys:,} keys", f"{rate:,.0f} keys/s", f"bare SQLite, the keys' rows alone, 32,768 a transaction {bare:,.0f}/s", f"{rate / bare:.2f} x",
        "at least 200,000/s", rate >= 200000)
    row("50,000 decisions a second during an import, p99", f"{during} ns", f"before it {before} ns", f"{during / max(before, 1):.2f} x", "at most 3 x",
        during <= 3 * before)


def revocation(args, scratch):
    data = scratch / "revocation"
    out = run(tool("revocation"), str(data), "100000", "1")
    remove(data)
    print(out)
    violations = int(re.search(r"revocation_violations value=(\d+)", out).group(1))
    ratio = float(re.search(r"revocation_p99 ratio=([\d.]+)", out).group(1))
    row("accepts that began after a revocation had returned, 100,000 of them", str(violations), "-", "-", "0",
        "revocation_violations value=0 target=0 pass" in out)
    row("revocation, call to return, p99", "see above", "the commit of 64 alone", f"{ratio:.2f} x", "at most 3 x", ratio <= 3)


def analysis(args, scratch):
    keys = min(args.keys, 1000000)
    data = scratch / "analysis"
    fill(data, 100000, keys, "mixed")
    demo = (ROOT / "policies" / "demo.yaml").read_text()
    new = demo.replace('"*": contacts:write', '"*": contacts:read')
    tenant = open(f"{data}.tenants").readline().strip()
    service = Service(data)
    local = Local(data)
    questions = {
        "policy who-can": ("GET", "/v1/policy/who-can?method=GET&path=/api/v1/contacts", None, 2),
        "policy who-can --tenant": ("GET", f"/v1/policy/who-can?method=GET&path=/api/v1/contacts&tenant={tenant}", None, 2),
        "policy diff": ("POST", "/v1/policy/diff", {"old": demo, "new": new}, 2),
        "policy test, three assertions": ("POST", "/v1/policy/test", {"assertions": "version: 1\nassertions:\n"
                                          "  - never: partner keys reach call_traces\n  - only: live keys reach anything\n"
                                          "  - always: keys with scope contacts:read reach GET contacts\n"}, 2),
        "policy audit": ("GET", "/v1/policy/audit", None, 10),
    }
    took = {name: [] for name in questions}
    passes = []
    for _ in range(3):
        passes.append(int(re.search(r"best_ns (\d+)", run(tool("ring_pass"), str(data / "ring"))).group(1)) / 1e9)
        for name, (method, target, body, _) in questions.items():
            took[name].append(local.ask(method, target, body)[1])
    service.stop()
    remove(data)
    bare = median(passes)
    for name, (_, _, _, most) in questions.items():
        seconds = median(took[name])
        row(f"{name}, {keys:,} keys, 100,000 tenants", f"{seconds:.3f} s", f"a bare pass over the slots {bare * 1000:.1f} ms", f"{seconds / bare:.0f} x",
            f"at most {most} s", seconds <= most)


class Remote(http.client.HTTPConnection):
    """The API over TCP, with a token."""

    def __init__(self, service, token):
        host, port = service.address.rsplit(":", 1)
        super().__init__(host, int(port))
        self.token = token

    def get(self, target):
        """The answer and the seconds that it took."""
        start = time.monotonic()
        self.request("GET", target, headers={"Authorization": f"Bearer {self.token}"})
        answer = self.getresponse()
        content = answer.read()
        took = time.monotonic() - start
        if answer.status != 200:
            sys.exit(f"GET {target}: {answer.status} {content[:500]}")
        return json.loads(content), took


ADMINISTRATOR = ["keystile:tenants:read", "keystile:users:read", "keystile:keys:read", "keystile:audit:read"]


def people_the_world(local, data):
    """What the lists are about beside a million keys: partners, a deep organization, users, revoked keys. Tokens of three callers."""
    def make(path, **body):
        return local.ask("POST", path, body)[0]

    def key(tenant, **members):
        return make("/v1/keys", **{"name": "caller", "tenant": tenant, "scopes": ADMINISTRATOR, "expires_at": None, **members})
    first = open(f"{data}.tenants").readline().strip()
    partner = make("/v1/tenants", kind="partner", name="Partner")["id"]
    for i in range(1000):
        of_partner = make("/v1/tenants", kind="organization", parent=partner, name=f"Of the partner {i}")["id"]
        if i % 100 == 0:
            key(of_partner)
    deep = make("/v1/tenants", kind="organization", name="Deep")["id"]
    for i in range(1000):
        sub = make("/v1/tenants", kind="sub_entity", parent=deep, name=f"Below {i}")["id"]
        if i % 100 == 0:
            key(sub)
    for i in range(200):
        user = make("/v1/users", organization=deep, email=f"user{i}@example.com", name=f"User {i}")["id"]
        local.ask("PUT", f"/v1/tenants/{deep}/members/{user}", {"role": "member"})
    # Old ones, so that a walk from the newest comes to them last.
    for old in local.ask("GET", f"/v1/keys?tenant={first}")[0]["items"][-3:]:
        local.ask("DELETE", f"/v1/keys/{old['id']}")
    make(f"/v1/tenants/{first}/suspend")
    return {"operator": key(local.ask("GET", "/v1/tenants?kind=operator")[0]["items"][0]["id"])["token"],
            "partner": key(partner, kind="partner")["token"], "organization": key(deep)["token"]}, first, partner, deep


def lists(args, scratch):
    keys = min(args.keys, 1000000)
    data = scratch / "lists"
    fill(data, 100000, keys, "mixed")
    service = Service(data)
    local = Local(data)
    tokens, first, partner, deep = people_the_world(local, data)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    asked = [("operator", q) for q in (
        "/v1/keys", f"/v1/keys?tenant={first}", f"/v1/keys?tenant={deep}&below=true", f"/v1/keys?tenant={partner}&below=true",
        "/v1/keys?status=active", "/v1/keys?status=expired", "/v1/keys?status=revoked", "/v1/keys?kind=tenant", "/v1/keys?kind=partner",
        "/v1/keys?kind=runtime", "/v1/keys?environment=live", "/v1/keys?environment=sandbox", "/v1/keys?kind=partner&environment=sandbox",
        f"/v1/keys?unused_since={now}", "/v1/keys?unused_since=2020-01-01T00:00:00Z", "/v1/keys?q=key", "/v1/keys?q=nosuchname",
        f"/v1/keys?tenant={first}&q=nosuchname", "/v1/tenants", "/v1/tenants?kind=partner", "/v1/tenants?kind=project",
        f"/v1/tenants?parent={partner}", f"/v1/tenants?parent={partner}&kind=sub_entity", "/v1/users", f"/v1/users?organization={deep}",
        f"/v1/tenants/{deep}/members", "/v1/audit", f"/v1/audit?tenant={first}", "/v1/audit?actor=local", "/v1/audit?actor=system",
        "/v1/audit?action=tenant.suspend", "/v1/audit?action=nosuch")]
    asked += [(who, q) for who in ("partner", "organization") for q in (
        "/v1/keys", "/v1/keys?status=revoked", "/v1/keys?q=nosuchname", "/v1/tenants", "/v1/tenants?kind=project", "/v1/audit",
        "/v1/audit?action=nosuch")] + [("organization", "/v1/users")]
    callers = {who: Remote(service, token) for who, token in tokens.items()}
    ones = {who: f"/v1/keys/{caller.get('/v1/keys?limit=1')[0]['items'][0]['id']}" for who, caller in callers.items()}
    for who, target in asked:
        caller = callers[who]
        caller.close()   # the service ends what has been idle
        one, many = [], []
        for _ in range(21):
            one.append(caller.get(ones[who])[1])
            answer, took = caller.get(target)
            many.append(took)
        shown = re.sub(r"(org|prt|sub)_\w+", r"\1_…", target)
        ratio = median(many) / median(one)
        row(f"{who}: {shown}", f"{median(many) * 1000:.2f} ms, {len(answer['items'])} items{', more' if answer['next'] else ''}",
            f"a row read {median(one) * 1000:.2f} ms", f"{ratio:.1f} x", "at most 10 x", ratio <= 10)
    service.stop()
    remove(data)


def reference(args, scratch):
    """A read of a reference beside a bare libcurl that sends the same two requests to the same store (tests/vault/fakes)."""
    folder = scratch / "reference"
    folder.mkdir()
    store = subprocess.Popen(["taskset", "-c", "0", "node", str(ROOT / "tests/vault/fakes/fakes.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = json.loads(store.stdout.readline())["aws"]
    version = "00000000-0000-4000-8000-000000000001"
    state = {"roles": {"arn:aws:iam::123456789012:role/bench": {"trusts": ["arn:aws:iam::999999999999:user/keystile"], "allows": ["bench"]}},
             "secrets": {"bench": {"versions": {version: {"text": "x" * 32}}, "stages": {"AWSCURRENT": version}}}}
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/_fake", json.dumps({"state": state}).encode(), method="POST")).read()
    (folder / "secret").write_text("base/secret+key")
    (folder / "secret").chmod(0o600)
    identities = folder / "identities.json"
    identities.write_text(json.dumps({"aws": {
        "store": "aws", "organizations": ["*"], "access_key_id": "AKIAKEYSTILE", "secret_access_key_file": "secret",
        "endpoint": f"http://127.0.0.1:{port}", "sts_endpoint": f"http://127.0.0.1:{port}"}}))
    identities.chmod(0o600)
    results = [json.loads(run("taskset", "-c", "1", tool("reference_read"), str(port), str(identities), "500")) for _ in range(5)]
    store.stdin.close()
    store.wait()
    ratio = median([r["read_us"] / r["bare_us"] for r in results])
    row("a reference to AWS by a role, two round trips, p50", f"{median([r['read_us'] for r in results]):.0f} us",
        f"bare libcurl, the same two requests: {median([r['bare_us'] for r in results]):.0f} us", f"{ratio:.2f} x", "at most 1.15 x", ratio <= 1.15)


def new_log(data, entries):
    organization = json.loads(cli(data, "tenants", "create", "--kind", "organization", "--name", "Log"))["id"]
    rate = float(run(tool("audit_log"), str(data / "keystile.db"), organization, str(entries)))
    return organization, rate


def id_number(text):
    number = 0
    for digit in text[4:]:
        number = number << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(digit)
    return number


def proof_times(service, token, organization, entries):
    """Milliseconds of the proofs of entries all over the log, and of reading one row."""
    client = Remote(service, token)
    proofs, rows = [], []
    key = client.get("/v1/keys?limit=1")[0]["items"][0]["id"]
    newest = id_number(client.get(f"/v1/audit?tenant={organization}&limit=1")[0]["items"][0]["id"])
    oldest = id_number(organization)
    for step in range(1, 101):
        before = oldest + (newest - oldest) * step // 100
        entry = client.get(f"/v1/audit?tenant={organization}&limit=1&cursor={before:016x}")[0]["items"][0]["id"]
        answer, took = client.get(f"/v1/audit/proof?entry={entry}")
        assert answer["size"] > entries
        proofs.append(took * 1000)
        rows.append(client.get(f"/v1/keys/{key}")[1] * 1000)
    return proofs, rows


def audit(args, scratch):
    entries = args.keys
    data = scratch / "audit"
    service = Service(data)
    token = service.first_key
    service.stop()
    large, rate = new_log(data, entries)
    small, _ = new_log(data, min(entries, 1000000))
    service = Service(data)
    proofs, rows = proof_times(service, token, large, entries)
    row(f"proof of one entry in {entries:,}, the slowest of {len(proofs)}", f"{max(proofs):.2f} ms", f"a row read {median(rows):.2f} ms",
        f"{max(proofs) / median(rows):.1f} x", "below 10 ms", max(proofs) < 10)
    for fmt in ("jsonl", "csv"):
        start = time.monotonic()
        run("curl", "-sS", "-f", "-o", str(scratch / "export"), "-H", f"Authorization: Bearer {token}",
            f"{service.url}/v1/audit/export?format={fmt}&tenant={small}")
        took = time.monotonic() - start
        exported = min(entries, 1000000) / took
        row(f"export of {min(entries, 1000000):,} entries, {fmt}", f"{exported:,.0f}/s", f"appending them {rate:,.0f}/s",
            f"{exported / rate:.2f} x", "at least 100,000/s", exported >= 100000)
        (scratch / "export").unlink()
    service.stop()
    remove(data)


SECTIONS = {"decision": decision, "jose": jose, "hooksig": hooksig, "authorize": authorize, "scale": scale, "create": create, "import": import_,
            "revocation": revocation, "analysis": analysis, "lists": lists, "reference": reference}
SECTIONS["audit"] = audit


PAIR = """version: 1
name: bench
label: Bench
about: Four fields and nothing to probe.
fields:
  host: {label: Host, type: host, example: sip.example.com}
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
  realm: {label: Realm, type: text, example: example.com}
"""


def bare_audit(scratch, store, batch=100):
    """Rows a second: the audit rows of the store's reveals, appended by SQLite alone to a table of the same schema."""
    source = sqlite3.connect(store)
    rows = source.execute("SELECT * FROM audit WHERE action = 'secret.reveal' LIMIT 60000").fetchall()
    schema = [sql for (sql,) in source.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'audit' AND sql IS NOT NULL ORDER BY type <> 'table'")]
    source.close()
    there = scratch / "bare-audit.db"
    bare = sqlite3.connect(there, isolation_level=None)
    bare.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -262144;" + ";".join(schema))
    insert = f"INSERT INTO audit VALUES ({','.join('?' * len(rows[0]))})"
    start = time.monotonic()
    for at in range(0, len(rows), batch):
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(insert, rows[at:at + batch])
        bare.execute("COMMIT")
    took = time.monotonic() - start
    bare.close()
    for leftover in scratch.glob("bare-audit.db*"):
        leftover.unlink()
    return len(rows) / took


def reveal(args, scratch):
    own = scratch / "platforms"
    own.mkdir()
    (own / "bench.yaml").write_text(PAIR)
    ours, bare, p99 = [], [], []
    for i in range(5):
        data = scratch / f"reveal{i}"
        service = Service(data, env={"KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_PLATFORMS_OWN": str(own)}, threads=4)
        local = Local(data)
        tenant = local.ask("POST", "/v1/tenants", {"kind": "organization", "name": "Bench"})[0]["id"]
        provider = local.ask("POST", "/v1/providers", {"tenant": tenant, "platform": "bench", "name": "Bench"})[0]["id"]
        for name in ("host", "user", "password", "realm"):
            local.ask("PUT", f"/v1/providers/{provider}/fields/{name}", {"value": f"{name}.example.com"})
        key = local.ask("POST", "/v1/keys", {"name": "bench", "kind": "runtime", "scopes": ["keystile:secrets:reveal"], "expires_at": None})[0]
        result = callers(service.address.rsplit(":", 1)[1], f"/v1/providers/{provider}/reveal", key["token"], 64, 4)
        service.stop()
        if result[3]:
            sys.exit(f"reveal: {result[3]} reveals failed")
        ours.append(result[0])
        p99.append(result[2])
        bare.append(bare_audit(scratch, data / "keystile.db"))
        remove(data)
    ratio = median([a / b for a, b in zip(ours, bare)])
    row("reveals of four held fields, audited durably, 64 clients", f"{median(ours):,}/s, p99 {median(p99) / 1000:.1f} ms",
        f"bare SQLite, the same audit rows, 100 a transaction {median(bare):,.0f}/s", f"{ratio:.2f} x", "at least 0.5 x", ratio >= 0.5)


SECTIONS["reveal"] = reveal


def bare_inbound(scratch):
    out = run(tool("inbound_bare"), str(scratch / "bare.db"), "60000", "100", "1024", "420")
    for leftover in scratch.glob("bare.db*"):
        leftover.unlink()
    return float(out)


def inbound_rate(scratch, name):
    """Webhooks by GitHub's scheme, 1 KiB each, every one with a delivery of its own."""
    data, secret = scratch / name, "a-secret-of-the-bench"
    service = Service(data)
    local = Local(data)
    tenant = local.ask("POST", "/v1/tenants", {"kind": "organization", "name": "Bench"})[0]["id"]
    source = local.ask("POST", "/v1/sources", {"tenant": tenant, "platform": "github", "name": "Bench", "parameters": {"secrets": [secret]}})[0]
    signature = "sha256=" + hmac.new(secret.encode(), b"x" * 1024, "sha256").hexdigest()
    result = wrk(f"{service.url}/hooks/{source['id']}", "inbound.lua", 4, 64, {"SIGNATURE": signature}, cpu="0,1")
    service.stop()
    remove(data)
    if result[3]:
        sys.exit(f"inbound: {result[3]} webhooks failed")
    return result


def inbound(args, scratch):
    ours, bare = [], []
    for i in range(3):
        bare.append(bare_inbound(scratch))
        ours.append(inbound_rate(scratch, f"inbound{i}"))
    ratio = median([a[0] / b for a, b in zip(ours, bare)])
    row("webhooks verified and durable, 64 clients", f"{median([a[0] for a in ours]):,}/s, p99 {median([a[2] for a in ours]) / 1000:.1f} ms",
        f"bare SQLite, the same rows, 100 a transaction {median(bare):,.0f}/s", f"{ratio:.2f} x", "at least 0.5 x", ratio >= 0.5)


SECTIONS["inbound"] = inbound


def delivery(args, scratch):
    """Webhooks: a thousand endpoints with and without some that hang and fail, in turn; as many as go; and a backlog. A receiver of our own (epoll)
    shares the machine."""
    def one(*words):
        data = scratch / "delivery"
        try:
            return json.loads(run(tool("delivery"), str(data), *map(str, words)).splitlines()[-1])
        finally:
            remove(data)
    rounds = [(one("rate", 0, 500, 5), one("rate", 10, 500, 5)) for _ in range(5)]
    fastest = median([one("rate", 10, 0, 5)["delivered_per_s"] for _ in range(3)])
    alone, beside = median([a["p99_ms"] for a, _ in rounds]), median([b["p99_ms"] for _, b in rounds])
    ratio = median([b["p99_ms"] / max(a["p99_ms"], 0.1) for a, b in rounds])
    row("webhooks delivered, 1,000 endpoints, 10 of them hanging and 10 failing", f"{fastest:,.0f}/s", "–", "–", "at least 5,000/s", fastest >= 5000)
    row("their p99 from commit to arrival at 5,000/s", f"{beside:.1f} ms", f"without the 20: {alone:.1f} ms", f"{ratio:.2f} x", "at most 1.5 x",
        ratio <= 1.5)
    backlog = one("backlog", args.keys // 10)
    row(f"a backlog of {backlog['deliveries']:,} deliveries drained", f"{backlog['per_s']:,.0f}/s; new events meanwhile: p50 {backlog['new_p50_ms']:.0f} ms, "
        f"p99 {backlog['new_p99_ms']:.0f} ms", "–", f"{backlog['rss_mib']:.0f} MiB resident", "below 200 MB", backlog["rss_mib"] < 190)


SECTIONS["delivery"] = delivery


# A token a provider, as most platforms have it; what `account` is, is up to where the platform's file says that it is asked.
PROBED = """version: 1
name: bench
label: Bench
about: An account of a platform.
fields:
  account: {{label: Account, type: {type}}}
  token: {{label: Token, type: secret}}
"""
PROBE = """probe:
  kind: http
  url: https://{host}:{port}/v1/accounts/${{account}}
  bearer: ${{token}}
  timeout_ms: 30000
"""
PROBED_LATENCY_MS = 20   # the time-out is longer than the service stands still now and then
PROBE_INTERVAL_S = 900   # health.interval_s where it is not set
SLICE_S = 3
SLICES = 12              # of each kind; for what is left of a round then it goes on alone
OURS, OTHERS = 0, 1      # cores: of service and keeper, and the other one


def certificate(scratch, name):
    """An authority, and a server's certificate by it; both by ECDSA over P-256."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run("openssl", "req", "-x509", *curve, "-subj", "/CN=Bench", "-keyout", str(scratch / "ca.key"), "-out", str(scratch / "ca.pem"))
    run("openssl", "req", "-x509", *curve, "-CA", str(scratch / "ca.pem"), "-CAkey", str(scratch / "ca.key"), "-subj", f"/CN={name}",
        "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", str(scratch / "server.key"), "-out", str(scratch / "server.pem"))


class Platform:
    """What is probed, in a process of its own."""

    def __init__(self, scratch):
        certificate(scratch, "*.bench.localhost")
        self.process = subprocess.Popen([sys.executable, str(BENCH / "probed.py"), str(scratch / "server.pem"), str(scratch / "server.key"),
                                         str(PROBED_LATENCY_MS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def pin(self, core):
        os.sched_setaffinity(self.process.pid, {core})

    def seen(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Probing:
    """Providers, the service that probes them, and decisions beside it."""

    def __init__(self, scratch, providers):
        self.data, self.own, self.providers = scratch / "probes", scratch / "probed", providers
        self.quiet = scratch / "quiet"
        self.scratch = scratch
        self.own.mkdir()
        self.platform = Platform(scratch)
        fill(self.data, max(providers // 10, 1), 100000)
        # Few keys: what each of them was used is written to the store every second, which is no part of probing.
        self.tokens = tokens_file(scratch, 1000)

    def write_platform(self, host=None, account="text"):
        probe = PROBE.format(host=host, port=self.platform.port) if host else ""
        (self.own / "bench.yaml").write_text(PROBED.format(type=account) + probe)

    def start(self, data, **settings):
        env = {"KEYSTILE_PLATFORMS_OWN": str(self.own), "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8,::1/128",
               "KEYSTILE_FETCH_CA_FILE": str(self.scratch / "ca.pem"), "KEYSTILE_VAULT_DIRECT_WRITE": "true",
               **{f"KEYSTILE_HEALTH_{name.upper()}": str(value) for name, value in settings.items()}}
        service = Service(data, cpu=OURS, env=env, threads=1)
        service.processes = [service.process.pid, *map(int, run("pgrep", "-P", str(service.process.pid)).split())]
        return service

    def populate(self):
        """While the platform's file has no probe, a value that is entered is current."""
        self.write_platform()
        start = time.monotonic()
        with open(f"{self.data}.tenants") as organizations:
            run(tool("providers"), str(self.data), str(self.own), str(self.providers), stdin=organizations)
        store = sqlite3.connect(self.data / "keystile.db")
        made = store.execute("SELECT count(*) FROM providers WHERE current_set = 1").fetchone()[0]
        store.close()
        if made != self.providers:
            sys.exit(f"probes: {made} of {self.providers} providers were made")
        print(f"  made {made:,} providers in {time.monotonic() - start:.1f} s", flush=True)

    def codes(self):
        store = sqlite3.connect(self.data / "keystile.db")
        found = store.execute("SELECT code, detail, count(*) FROM provider_health GROUP BY 1, 2").fetchall()
        store.close()
        return found

    def make_due(self, count):
        """So many of them since long; the others not for a day."""
        store = sqlite3.connect(self.data / "keystile.db")
        store.execute("UPDATE provider_health SET due_at = ?", (int(time.time() + 86400) * 1000,))
        store.execute("UPDATE provider_health SET due_at = 1 WHERE provider IN (SELECT id FROM providers ORDER BY id LIMIT ?)", (count,))
        store.commit()
        store.close()

    @contextlib.contextmanager
    def deciding(self, core, service):
        """Meanwhile, as many decisions as there can be on this core; then their rate is `[0]` of what it gives. None: no decisions."""
        rate = []
        if core is None:
            time.sleep(2)  # until what decisions left to be written is written
            yield rate
            return
        self.platform.pin(OURS if core == OTHERS else OTHERS)
        loop = subprocess.Popen(["taskset", "-c", str(core), tool("spin"), f"{service.data}/ring", "0"], stdin=open(self.tokens),
                                stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        loop.send_signal(signal.SIGUSR1)
        yield rate
        loop.terminate()
        rate.append(float(re.search(r"per_s (\d+)", loop.communicate()[0]).group(1)))

    def start_quiet(self):
        """On a copy of the data: a service that probes nothing, and stands still."""
        remove(self.quiet)
        shutil.copytree(self.data, self.quiet, symlinks=True, ignore=shutil.ignore_patterns("ring"))
        service = self.start(self.quiet, interval_s=0)
        send(service, signal.SIGSTOP)
        return service

    def quiet_decisions(self, core, probing, quiet):
        """A second, beside the one that probes nothing, while the one that probes stands still."""
        send(probing, signal.SIGSTOP)
        send(quiet, signal.SIGCONT)
        with self.deciding(core, quiet) as rate:
            time.sleep(SLICE_S)
        send(quiet, signal.SIGSTOP)
        send(probing, signal.SIGCONT)
        return rate[0]


def send(service, number):
    for pid in service.processes:
        os.kill(pid, number)


def cpu_seconds(pids):
    ticks = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in pids]
    return sum(int(t) for pair in ticks for t in pair) / os.sysconf("SC_CLK_TCK")


def metric(service, name):
    """The sum of its samples."""
    lines = service.get("/metrics").decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}(_total)?[ {{]", line))


def probe_slice(p, service, due, core):
    """Decisions, probes and seconds of processor time a second, with decisions on this core or none (None); None: the round ended in between."""
    with p.deciding(core, service) as rate:
        start, probed, used = time.monotonic(), metric(service, "keystile_probes"), cpu_seconds(service.processes)
        time.sleep(SLICE_S)
        took, ended, used = time.monotonic() - start, metric(service, "keystile_probes"), cpu_seconds(service.processes) - used
    return (*rate, (ended - probed) / took, used / took) if ended < due else None


def probe_round(p, due, decide, **settings):
    """All that are due, at once. With `decide`, in turn: decisions on either core, and none (None), as probe_slice tells; after each of the former
    the same beside the service that probes nothing, whose rate is added."""
    p.make_due(due)
    p.platform.seen()
    slices = {core: [] for core in (OTHERS, OURS, None)}
    quiet = p.start_quiet() if decide else None
    service = p.start(p.data, **settings)
    start, used = time.monotonic(), cpu_seconds(service.processes)
    while metric(service, "keystile_probes") < due:
        for core in slices if decide and len(slices[None]) < SLICES else ():
            found = probe_slice(p, service, due, core)
            if found and core is not None:
                found = (*found, p.quiet_decisions(core, service, quiet))
            if found:
                slices[core].append(found)
        time.sleep(0.1)
    took, used = time.monotonic() - start, cpu_seconds(service.processes) - used
    memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{service.process.pid}/status").read_text()).group(1)) / 1024
    seen = p.platform.seen()
    put_off = metric(service, "keystile_probes_put_off")
    service.stop()
    if quiet:
        send(quiet, signal.SIGCONT)
        quiet.stop()
    if seen["answered"] != due or seen["refused"]:
        sys.exit(f"probes: {due} were due, the platform saw {seen}; {p.codes()}")
    return {"took": took, "us": used / due * 1e6, "slices": slices, "mib": memory, "put_off": put_off, **seen}


def probe_rows(what, r, bound):
    """Four of a round: decisions beside it on either core, what it cost, and how many were under way."""
    print(f"  {what}: {r['answered']:,} probes in {r['took']:.0f} s; {r['connected']} connections; {r['put_off']:.0f} put off; service's memory at most {r['mib']:.0f} MiB")
    for core, where in ((OTHERS, f"service and keeper on core {OURS}, decisions on core {OTHERS}"), (OURS, f"service, keeper and decisions on core {OURS}")):
        during, pace, used, quiet = (median(found) for found in zip(*r["slices"][core]))
        lost = 1 - median([one[0] / one[3] for one in r["slices"][core]])
        row(f"{what}, {where}", f"{during:,.0f} decisions/s beside {pace:.0f} probes/s, which used {used * 100:.1f} % of a core", f"in turn, beside a service that probes nothing, {quiet:,.0f}/s",
            f"{lost * 100:.1f} % lost", "at most 5 % lost", lost <= 0.05)
    pace, used = (median(found) for found in zip(*r["slices"][None]))
    cost = used / pace * 1e6
    share = cost / 1e6 * 100000 / PROBE_INTERVAL_S
    row(f"{what}, processor time of service and keeper", f"{cost:.0f} µs a probe at {pace:.0f}/s, {used * 100:.1f} % of a core",
        f"100,000 of them over {PROBE_INTERVAL_S} s", f"{share * 100:.1f} % of a core", "at most 5 %", share <= 0.05)
    row(f"{what}, most under way at a time", str(r["asked"]), f"the bound {bound}", "-", "the bound", r["asked"] <= bound)


def probes(args, scratch):
    """Providers that are due all at once, as after a restore: all of them by one platform at one host, as most platforms are; a part of them each at a host of its own."""
    p = Probing(scratch, min(max(args.keys, 4000), 100000))
    try:
        p.populate()
        p.write_platform("api.bench.localhost")
        first = probe_round(p, p.providers, False, per_second=100000, per_host=64)
        print(f"  the first round, as fast as can be: {p.providers / first['took']:.0f} probes/s, {first['us']:.0f} µs a probe", flush=True)
        probe_rows(f"probe round, {p.providers:,} providers at one host", probe_round(p, p.providers, True), 8)
        p.write_platform("${account}.bench.localhost", "host")
        due = max(p.providers // 10, 4000)
        probe_rows(f"probe round, {due:,} providers at a host each", probe_round(p, due, True), 30)
    finally:
        p.platform.stop()
        remove(p.data)
        remove(p.quiet)


SECTIONS["probes"] = probes


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    release = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text()).group(1)
    return f"{os.cpu_count()} virtual cores of an {cpu}, kernel {os.uname().release.split('-')[0]}, {release}"


def write_results(args):
    path = BENCH / "RESULTS.md"
    marker = "<!-- results -->"
    head = path.read_text().split(marker)[0] if path.exists() else "# Results\n\n"
    lines = [f"Measured by `bench/run.py --keys {args.keys}` on {machine()}.", "",
             "| what | measured | reference, same run | ratio | wanted | |", "|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(r) + " |" for r in ROWS]
    path.write_text(head + marker + "\n\n" + "\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10000000)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not (BUILD / "build.ninja").exists():
        run("meson", "setup", str(BUILD), "--buildtype=release", "-Db_lto=true", "-Dtests=false", "-Dbench=true", cwd=ROOT)
    run("ninja", "-C", str(BUILD), "--quiet")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="keystile-bench-"))
    try:
        for name in args.only.split(","):
            print(f"== {name}", flush=True)
            SECTIONS[name](args, scratch)
    finally:
        for data in scratch.iterdir():
            if data.is_dir():
                remove(data)
        shutil.rmtree(scratch, ignore_errors=True)
    if args.write:
        write_results(args)
    short = sum(r[5] != "pass" for r in ROWS)
    print(f"{len(ROWS) - short} reached, {short} short")


if __name__ == "__main__":
    main()
