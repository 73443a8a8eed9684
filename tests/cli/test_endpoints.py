"""keystile endpoints and keystile deliveries: where events are sent, and how that went, at a terminal."""
import json
import re

import pytest

import keystile
from listener import Listener

URL = "http://127.0.0.1:9/hooks"
NOTHING, NO_DELIVERY = "whe_0000000000001", "dlv_0000000000001"
ENV = {"KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "100"}


class Line:
    def __init__(self, data):
        self.data = data

    def run(self, *arguments, expect=0):
        done = keystile.run(*arguments, data=self.data, env=ENV)
        assert done.code == expect, (arguments, done)
        return done

    def json(self, *arguments):
        return self.run(*arguments, "--json").json

    def until(self, wanted, *arguments):
        """Asks until the answer is as wanted."""
        while True:
            found = self.json(*arguments)
            if wanted(found):
                return found


@pytest.fixture(scope="module")
def line():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=ENV):
        yield Line(data)


@pytest.fixture(scope="module")
def alone():
    """Without a service."""
    with keystile.temporary_data() as data:
        keystile.init(data)
        yield Line(data)


# ---- what is refused ----

@pytest.mark.parametrize("arguments, code, said", [
    (("endpoints", "create"), 2, "--url"),
    (("endpoints", "create", "--url", "x"), 1, "/url"),
    (("endpoints", "create", "--url", "http://10.0.0.1/"), 1, "/url"),
    (("endpoints", "create", "--url", URL, "--event", "no.such"), 1, "/events/0"),
    (("endpoints", "create", "--url", URL, "--concurrency", "some"), 2, "--concurrency"),
    (("endpoints", "create", "--url", URL, "--concurrency", "65"), 1, "/concurrency"),
    (("endpoints", "create", "--url", URL, "--rate", "-1"), 2, "--rate"),
    (("endpoints", "create", "--url", URL, "--signature", "rsa"), 1, "/signature"),
    (("endpoints", "rotate", NOTHING, "--overlap", "1d"), 2, "--overlap"),
    (("endpoints", "replay", NOTHING), 2, "--from"),
    (("endpoints", "replay", NOTHING, "--from", "yesterday"), 1, "/from"),
    (("deliveries", "list", "--state", "lost"), 1, "state"),
    (("deliveries", "list", "--endpoint", "x"), 1, "endpoint"),
    *[((group, verb, one), 1, "no such") for group, verb, one in [
        *[("endpoints", verb, NOTHING) for verb in ("show", "change", "pause", "resume", "rotate", "test", "delete")],
        ("deliveries", "show", NO_DELIVERY), ("deliveries", "replay", NO_DELIVERY)]],
])
def test_what_cannot_be_done_says_why(line, arguments, code, said):
    done = line.run(*arguments, expect=code)
    assert done.out == "" and said in done.err
    if code == 1:
        done = line.run(*arguments, "--json", expect=1)
        assert done.out == "" and json.loads(done.err)["code"] in ("invalid", "not_found", "query_malformed")


# ---- without a service: what is made waits for one ----

def test_the_life_of_an_endpoint(alone):
    done = alone.run("endpoints", "create", "--url", URL, "--event", "key.created", "--event", "key.revoked", "--description", "CRM",
                     "--concurrency", "2", "--rate", "10")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", done.out)
    one = done.err.split(":")[0]
    shown = alone.json("endpoints", "show", one)
    assert (shown["events"], shown["description"], shown["concurrency"], shown["rate_limit"]) == (["key.created", "key.revoked"], "CRM", 2, 10)
    assert "secret" not in shown and done.out.strip() not in alone.run("endpoints", "show", one).out
    changed = alone.json("endpoints", "change", one, "--event", "*", "--concurrency", "none")
    assert (changed["events"], changed["concurrency"], changed["rate_limit"]) == (["*"], None, 10)
    assert alone.json("endpoints", "pause", one)["state"] == "paused"
    assert alone.json("endpoints", "resume", one)["state"] == "active"
    rotated = alone.run("endpoints", "rotate", one, "--overlap", "60")
    assert rotated.out != done.out and len(alone.json("endpoints", "show", one)["secrets"]) == 2
    pair = alone.run("endpoints", "rotate", one, "--signature", "v1a")
    assert re.fullmatch(r"whpk_[A-Za-z0-9+/]{43}=\n", pair.out)
    assert [e["id"] for e in alone.json("endpoints", "list")["items"]] == [one]
    assert one in alone.run("endpoints", "list").out and URL in alone.run("endpoints", "list").out
    made = alone.json("endpoints", "test", one)
    assert made["state"] == "pending" and alone.json("deliveries", "list", "--endpoint", one)["items"][0]["id"] == made["id"]
    assert alone.json("endpoints", "delete", one)["state"] == "deleted"
    assert alone.json("endpoints", "list")["items"] == []


# ---- with one: it is sent ----

def test_what_happens_arrives(line):
    secret = line.run("endpoints", "create", "--url", URL, "--event", "key.created").out.strip()
    one = line.json("endpoints", "list")["items"][0]["id"]
    with Listener(secret=secret) as listener:
        line.run("endpoints", "change", one, "--url", listener.url)
        key = line.json("keys", "create", "--name", "Gr\u00fc\u00dfe")["id"]
        event = listener.wait_for(lambda e: e["body"]["type"] == "key.created")
        assert event["body"]["object"] == key and event["body"]["data"]["name"] == "Gr\u00fc\u00dfe" and event["id"] == event["body"]["id"]
        sent = line.json("endpoints", "test", one)
        assert listener.wait_for(lambda e: e["body"]["type"] == "endpoint.test")["id"] == sent["event"]
        delivered = line.until(lambda d: d["state"] == "delivered", "deliveries", "show", sent["id"])
        assert [(a["number"], a["code"], a["status"]) for a in delivered["attempt_list"]] == [(1, "ok", 204)]
        assert "ok" in line.run("deliveries", "show", sent["id"]).out
        # Once more, by hand: the same id.
        line.run("deliveries", "replay", sent["id"])
        assert listener.wait_for(lambda e: e["again"])["id"] == sent["event"]
        replayed = line.json("endpoints", "replay", one, "--from", "2026-01-01T00:00:00Z", "--all")
        assert replayed["replayed"] >= 1
        listener.wait_for(lambda e: e["again"] and e["body"]["type"] == "key.created")
    line.run("endpoints", "delete", one)


def test_what_is_refused_is_sent_again(line):
    secret = line.run("endpoints", "create", "--url", URL, "--event", "key.created").out.strip()
    one = line.json("endpoints", "list")["items"][0]["id"]
    with Listener("--answer", 500, secret=secret) as listener:
        line.run("endpoints", "change", one, "--url", listener.url)
        sent = line.json("endpoints", "test", one)
        assert listener.wait_for(lambda e: e["again"])["id"] == sent["event"]
        tried = line.until(lambda d: d["attempts"] >= 2, "deliveries", "show", sent["id"])
        assert tried["state"] == "pending" and tried["next_at"] and {a["status"] for a in tried["attempt_list"]} == {500}
        assert line.json("deliveries", "list", "--endpoint", one, "--state", "pending")["items"][0]["code"] == "refused"
        assert line.json("endpoints", "show", one)["failing_since"]
    line.run("endpoints", "delete", one)


def test_who_answers_410_is_left_alone(line):
    secret = line.run("endpoints", "create", "--url", URL, "--event", "key.created").out.strip()
    one = line.json("endpoints", "list")["items"][0]["id"]
    with Listener("--answer", 410, secret=secret) as listener:
        line.run("endpoints", "change", one, "--url", listener.url)
        sent = line.json("endpoints", "test", one)
        gone = line.until(lambda d: d["state"] == "failed", "deliveries", "show", sent["id"])
        assert gone["code"] == "gone" and len(gone["attempt_list"]) == 1
        shown = line.json("endpoints", "show", one)
        assert (shown["state"], shown["reason"]) == ("disabled", "gone")
    line.run("endpoints", "test", one, expect=1)
    assert line.json("endpoints", "resume", one)["state"] == "active"
    assert line.json("endpoints", "replay", one, "--from", "2026-01-01T00:00:00Z") == {"replayed": 1}
    line.run("endpoints", "delete", one)


def test_a_rotation_loses_nothing(line):
    old = line.run("endpoints", "create", "--url", URL, "--event", "key.created").out.strip()
    one = line.json("endpoints", "list")["items"][0]["id"]
    with Listener(secret=old) as before:
        line.run("endpoints", "change", one, "--url", before.url)
        new = line.run("endpoints", "rotate", one, "--overlap", "600").out.strip()
        first = line.json("endpoints", "test", one)["event"]
        assert before.wait_for(lambda e: e["id"] == first)["verified"]
        with Listener(secret=new) as after:
            line.run("endpoints", "change", one, "--url", after.url)
            second = line.json("endpoints", "test", one)["event"]
            assert after.wait_for(lambda e: e["id"] == second)["verified"]
        line.run("endpoints", "rotate", one)
        line.run("endpoints", "change", one, "--url", before.url)
        line.json("endpoints", "test", one)
        assert before.wait_for(lambda e: not e["verified"])["code"] == "signature_mismatch"
    line.run("endpoints", "delete", one)


def test_a_key_pair(line):
    public = line.run("endpoints", "create", "--url", URL, "--event", "key.created", "--signature", "v1a").out.strip()
    one = line.json("endpoints", "list")["items"][0]["id"]
    with Listener(secret=public) as listener:
        line.run("endpoints", "change", one, "--url", listener.url)
        sent = line.json("endpoints", "test", one)["event"]
        assert listener.wait_for(lambda e: e["id"] == sent)["verified"]
    line.run("endpoints", "delete", one)
