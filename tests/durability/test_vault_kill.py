"""The vault and kill -9: no value leaves without its audit entry, and no version that was acknowledged is lost, whenever the
service is killed while calls reveal and somebody rotates."""
import http.client
import json
import random
import threading

import pytest

import keystile

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
"""
ROUNDS = 6
TOLD = (OSError, http.client.HTTPException, json.JSONDecodeError)


@pytest.fixture
def env(tmp_path):
    (tmp_path / "pair.yaml").write_text(PAIR)
    return {"KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_PLATFORMS_OWN": tmp_path}


class Seen:
    """What was acknowledged."""

    def __init__(self):
        self.calls = {}        # call id: the password that it got
        self.written = {}      # version: password


def make(local):
    tenant = local.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]
    provider = local.call("POST", "/v1/providers", {"tenant": tenant, "platform": "pair", "name": "p"}).json["id"]
    body = {"name": "r", "kind": "runtime", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
    token = local.call("POST", "/v1/keys", body).json["token"]
    for name, value in (("user", "alice"), ("password", "password-0")):
        assert local.call("PUT", f"/v1/providers/{provider}/fields/{name}", {"value": value}).status == 200
    return provider, token


def reveal(daemon, provider, token, seen, stop, name):
    client = daemon.client(token)
    for n in range(100000):
        if stop.is_set():
            return
        try:
            answer = client.call("POST", f"/v1/providers/{provider}/reveal", {"call_id": f"{name}-{n}"})
            assert answer.status == 200, answer.body
            seen.calls[f"{name}-{n}"] = answer.json["fields"]["password"]
        except TOLD:
            return


def rotate(daemon, provider, seen, stop, name):
    client = daemon.local()
    for n in range(100000):
        if stop.is_set():
            return
        value = f"password-{name}-{n}"
        try:
            answer = client.call("PUT", f"/v1/providers/{provider}/fields/password", {"value": value})
            assert answer.status == 200, answer.body
            seen.written[answer.json["current"]] = value
        except TOLD:
            return


def all_items(local, target):
    cursor, items = None, []
    while True:
        page = local.call("GET", f"{target}limit=500" + (f"&cursor={cursor}" if cursor else "")).json
        items += page["items"]
        cursor = page["next"]
        if not cursor:
            return items


def check(local, provider, token, daemon, seen):
    audited = {e["detail"]["call_id"]: e["detail"]["fields"]["password"] for e in all_items(local, "/v1/audit?action=secret.reveal&")}
    assert set(seen.calls) <= set(audited)
    versions = {v["version"]: v["stage"] for v in all_items(local, f"/v1/providers/{provider}/fields/password?")}
    assert set(seen.written) <= set(versions)
    current = [v for v, stage in versions.items() if stage == "current"]
    assert len(current) == 1 and current[0] >= max(seen.written, default=1)
    for call, password in seen.calls.items():
        if audited[call] in seen.written:
            assert seen.written[audited[call]] == password
    answer = daemon.client(token).call("POST", f"/v1/providers/{provider}/reveal", {"call_id": f"check-{len(seen.calls)}"})
    assert answer.status == 200
    if current[0] in seen.written:
        assert answer.json["fields"]["password"] == seen.written[current[0]]


def test_killed_while_calls_reveal_and_values_rotate(env):
    chance = random.Random(20)
    seen = Seen()
    with keystile.temporary_data() as data:
        provider = token = None
        for number in range(ROUNDS):
            with keystile.Daemon(data, env=env) as daemon:
                if provider is None:
                    provider, token = make(daemon.local())
                stop = threading.Event()
                work = [threading.Thread(target=reveal, args=(daemon, provider, token, seen, stop, f"{number}.{i}")) for i in range(3)]
                work.append(threading.Thread(target=rotate, args=(daemon, provider, seen, stop, str(number))))
                before = len(seen.calls)
                for thread in work:
                    thread.start()
                wanted = before + chance.randrange(5, 60)
                while len(seen.calls) < wanted and any(t.is_alive() for t in work):
                    work[0].join(0.005)
                daemon.kill()
                stop.set()
                for thread in work:
                    thread.join()
            with keystile.Daemon(data, env=env) as daemon:
                check(daemon.local(), provider, token, daemon, seen)
        assert len(seen.calls) > ROUNDS and len(seen.written) > 1
