#!/usr/bin/python3
"""kill -9 while uses are counted and written: every decision that was answered is counted once, and none that was not asked.

Writes are slow, so that many kills fall between the counters and the store."""
import collections
import contextlib
import http.client
import random
import subprocess
import threading
import time

import keystile
import pytest

KILLS = 15
CLIENTS = 4
KEYS = 60
SETTINGS = {"KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_SLOW_PWRITE_US": "2000"}
LOST = (OSError, http.client.HTTPException)


@pytest.fixture(scope="module")
def slow_writes(tmp_path_factory):
    """The library that makes writes take their time."""
    library = tmp_path_factory.mktemp("slow") / "slow_pwrite.so"
    source = keystile.SOURCE / "tests" / "durability" / "slow_pwrite.c"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


class Asker:
    """Asks for decisions until the service is gone. What was asked may have been counted; what was answered was."""

    def __init__(self, daemon, tokens, seed):
        self.daemon, self.tokens, self.rng = daemon, tokens, random.Random(seed)
        self.asked, self.answered = collections.Counter(), collections.Counter()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = self.daemon.client()
        with contextlib.suppress(*LOST):
            while True:
                key = self.rng.choice(list(self.tokens))
                allowed = self.rng.random() < 0.7
                self.asked[key, allowed] += 1
                answer = client.call("GET", "/v1/authorize", headers={
                    "X-Original-Method": "GET" if allowed else "POST", "X-Original-URI": "/api/v1/contacts"}, token=self.tokens[key])
                assert answer.status == (200 if allowed else 403)
                self.answered[key, allowed] += 1
        client.close()


def counts_of(daemon, first_key, keys):
    """Allowed and refused uses of each key, as the store has them."""
    found = collections.Counter()
    for key in keys:
        items = daemon.call("GET", f"/v1/keys/{key}/usage?step=day", token=first_key).json["items"]
        found[key, True] = sum(i["allowed"] for i in items)
        found[key, False] = sum(i["denied"] for i in items)
    return found


def test_every_answered_decision_is_counted_once(slow_writes):
    rng = random.Random(keystile.seed())
    asked, answered = collections.Counter(), collections.Counter()
    with keystile.temporary_data() as data:
        first_key = keystile.init(data)
        tokens = {}
        with keystile.Daemon(data) as daemon:
            for i in range(KEYS):
                made = daemon.call("POST", "/v1/keys", {"name": f"k{i}", "scopes": ["contacts:read"], "expires_at": None}, token=first_key)
                tokens[made.json["id"]] = made.json["token"]
        for _ in range(KILLS):
            daemon = keystile.Daemon(data, env={**SETTINGS, "LD_PRELOAD": slow_writes}).start()
            askers = [Asker(daemon, tokens, rng.random()) for _ in range(CLIENTS)]
            time.sleep(rng.uniform(0.2, 0.7))
            daemon.kill()
            for asker in askers:
                asker.thread.join()
                asked += asker.asked
                answered += asker.answered
        # What the killed ones left is written by the next, also if that one only stops.
        with keystile.Daemon(data):
            pass
        with keystile.Daemon(data) as daemon:
            found = counts_of(daemon, first_key, tokens)
    doubt = sum(asked.values()) - sum(answered.values())
    assert 0 < doubt <= KILLS * CLIENTS and sum(answered.values()) > 100 * KILLS
    for key in tokens:
        for allowed in (True, False):
            assert answered[key, allowed] <= found[key, allowed] <= asked[key, allowed], (key, allowed)
