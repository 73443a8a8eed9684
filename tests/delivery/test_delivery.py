# SPDX-License-Identifier: Apache-2.0
"""Delivery as receivers see it: order, attempts, dead letters, replays, and what one endpoint does to another."""
import datetime
import email.utils
import json
import sqlite3
import time

import keystile
from receiver import Receiver

from delivery_service import Sender, eventually


LONG_AGO = "2020-01-01T00:00:00.000Z"


def types(requests):
    return [json.loads(r.body)["type"] for r in requests]


def ids(requests):
    return [r.headers["webhook-id"] for r in requests]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def made(sender, receiver, path="/ok", **members):
    """An organization with an endpoint and a key; its first two events have arrived."""
    organization = sender.organization()
    endpoint = sender.endpoint(organization, receiver.url(path), **members)["id"]
    return organization, endpoint, sender.key(organization)


# ---- what arrives ----

def test_order(sender, receiver):
    _, endpoint, key = made(sender, receiver)
    for _ in range(100):
        sender.rename(key)
    arrived = ids(receiver.wait("/ok", 102))
    assert arrived == sorted(arrived)
    assert [d["event"] for d in sender.settled(endpoint, 102)] == arrived[::-1]


def test_only_what_it_listens_to_and_sees(sender, receiver):
    organization, _, key = made(sender, receiver, "/ok", events=["key.renamed", "key.revoked"])
    sender.endpoint(organization, receiver.url("/all"))
    other = sender.organization()
    sender.endpoint(other, receiver.url("/other"))
    sender.rename(key)
    sender.operator.delete(f"/v1/keys/{key}")
    assert types(receiver.wait("/ok", 2)) == ["key.renamed", "key.revoked"]
    assert types(receiver.wait("/all", 3)) == ["endpoint.created", "key.renamed", "key.revoked"]
    assert types(receiver.wait("/other", 1)) == ["endpoint.created"]
    assert len(receiver.of("/ok")) == 2 and len(receiver.of("/other")) == 1


def test_a_test_goes_to_one_endpoint_alone(sender, receiver):
    organization, endpoint, _ = made(sender, receiver, "/ok", events=["key.revoked"])
    sender.endpoint(organization, receiver.url("/all"))
    delivery = sender.act(endpoint, "test", expect=201).json
    assert types(receiver.wait("/ok", 1)) == [delivery["type"]] == ["endpoint.test"]
    sender.act(endpoint, "pause")
    assert types(receiver.wait("/all", 2)) == ["endpoint.created", "endpoint.paused"]
    sender.act(endpoint, "test", expect=409)


def test_answers_are_bounded(sender, receiver):
    _, endless, _ = made(sender, receiver, "/endless")
    delivery = sender.settled(endless, 1)[0]
    attempt = sender.delivery(delivery["id"])["attempt_list"][0]
    assert attempt["status"] == 200 and len(attempt["excerpt"]) <= 512 and attempt["excerpt"].startswith("more more")
    receiver.answers["/text"] = (200, b"a\x00b\x1b[31m\xff " + "ü".encode() * 600, ())
    _, text, _ = made(sender, receiver, "/text")
    attempt = sender.delivery(sender.settled(text, 1)[0]["id"])["attempt_list"][0]
    assert attempt["excerpt"].startswith("a b [31m? üü") and len(attempt["excerpt"].encode()) <= 512


# ---- what fails ----

def test_what_fails_is_tried_again(sender, receiver):
    for path in ("/fail/a?times=3", "/fail/b?times=2&how=close", "/fail/c?times=2&how=301"):
        organization = sender.organization()
        endpoint = sender.endpoint(organization, receiver.url(path), events=["key.created"])["id"]
        sender.key(organization)
        delivery = sender.delivery(sender.settled(endpoint, 1)[0]["id"])
        arrived = receiver.of(path.split("?")[0])
        # On a connection that was kept a request that was not answered at all is sent once more within its attempt.
        assert len(arrived) == int(path.split("times=")[1][0]) + 1 and len(arrived) - ("close" in path) <= delivery["attempts"] <= len(arrived)
        assert len({(r.headers["webhook-id"], r.body) for r in arrived}) == 1
        assert [i["number"] for i in delivery["attempt_list"]] == list(range(1, delivery["attempts"] + 1))
        assert delivery["attempt_list"][-1]["code"] == "ok" and {i["code"] for i in delivery["attempt_list"][:-1]} <= {"refused", "answer_broken"}
        assert sender.read(endpoint)["failing_since"] is None


def test_retry_after_is_heeded(sender, receiver):
    """The next attempt is not before; a day is the most."""
    at = int(time.time()) + 7200
    wishes = {"/seconds": "3600", "/date": email.utils.formatdate(at, usegmt=True), "/long": "999999"}
    for path, value in wishes.items():
        receiver.answers[path] = (503, b"", [("Retry-After", value)])
        endpoint = made(sender, receiver, path, events=["key.created"])[1]
        delivery = sender.only(endpoint, lambda d: d["attempts"] == 1)
        began, due = seconds(sender.delivery(delivery["id"])["attempt_list"][0]["at"]), seconds(delivery["next_at"])
        least, most = {"/seconds": (began + 3600, began + 3700), "/date": (at, at + 1), "/long": (began + 86400, began + 86500)}[path]
        assert least <= due <= most
        assert len(receiver.of(path)) == 1


def test_gone_is_disabled(sender, receiver):
    organization = sender.organization()
    sender.endpoint(organization, receiver.url("/all"))
    endpoint = sender.endpoint(organization, receiver.url("/status/410"))["id"]
    key = sender.key(organization)
    seen = eventually(lambda: sender.read(endpoint), lambda e: e["state"] == "disabled")
    assert seen["reason"] == "gone" and seen["disabled_at"]
    eventually(lambda: types(receiver.of("/all")), lambda t: "endpoint.disabled" in t)
    entries = sender.operator.get(f"/v1/audit?tenant={organization}&action=endpoint.disable").json["items"]
    assert len(entries) == 1 and entries[0]["actor"] == "system"
    before = len(receiver.of("/status/410"))
    sender.rename(key)
    eventually(lambda: types(receiver.of("/all")), lambda t: "key.renamed" in t)
    assert len(receiver.of("/status/410")) == before
    # Whoever is back makes good what was missed.
    receiver.answers["/status/410"] = (200,)
    sender.act(endpoint, "resume")
    sender.act(endpoint, "replay", {"from": LONG_AGO, "failed_only": False})
    eventually(lambda: types(receiver.of("/status/410")), lambda t: "key.renamed" in t)


def test_dead_letters_and_their_replay():
    settings = {"KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "20", "KEYSTILE_DELIVERY_RETRY_FOR_S": "1"}
    with Receiver() as receiver, keystile.temporary_data() as data, keystile.Daemon(data, env=settings) as daemon:
        sender = Sender(daemon)
        receiver.answers["/down"] = (500, b"down")
        _, endpoint, key = made(sender, receiver, "/down", events=["key.created", "key.renamed"])
        sender.rename(key)
        failed = sender.settled(endpoint, 2, "failed")
        assert all(d["attempts"] > 1 and d["next_at"] is None and d["ended_at"] for d in failed)
        receiver.answers["/down"] = (200,)
        before = len(receiver.of("/down"))
        sender.operator.call("POST", f"/v1/deliveries/{failed[0]['id']}/replay")
        sender.settled(endpoint, 1)
        assert ids(receiver.wait("/down", before + 1))[before] == failed[0]["event"]
        assert sender.act(endpoint, "replay", {"from": LONG_AGO}).json == {"replayed": 1, "next": None}
        sender.settled(endpoint, 2)
        assert ids(receiver.wait("/down", before + 2))[before + 1] == failed[1]["event"]
        # One that went well goes again, too, with its own id.
        sender.operator.call("POST", f"/v1/deliveries/{failed[1]['id']}/replay")
        assert ids(receiver.wait("/down", before + 3))[before + 2] == failed[1]["event"]
        metrics = daemon.call("GET", "/metrics", token=daemon.first_key)
        lines = dict(line.rsplit(b" ", 1) for line in metrics.body.splitlines() if not line.startswith(b"#"))
        assert int(lines[b'keystile_delivery_attempts_total{outcome="failed"}']) == 2
        assert int(lines[b'keystile_delivery_attempts_total{outcome="delivered"}']) >= 2


def test_paused_waits_and_goes_on(sender, receiver):
    _, endpoint, key = made(sender, receiver)
    sender.settled(endpoint, 2)
    sender.act(endpoint, "pause")
    for _ in range(3):
        sender.rename(key)
    pending = eventually(lambda: [d for d in sender.deliveries(endpoint) if d["state"] == "pending"], lambda d: len(d) == 4)
    assert len(receiver.of("/ok")) == 2
    sender.act(endpoint, "resume")
    arrived = ids(receiver.wait("/ok", 7))
    assert arrived == sorted(arrived) and set(d["event"] for d in pending) <= set(arrived)


def test_what_is_deleted_gets_nothing(sender, receiver):
    organization, endpoint, key = made(sender, receiver)
    sender.endpoint(organization, receiver.url("/other"))
    sender.settled(endpoint, 2)
    sender.operator.call("DELETE", f"/v1/webhook-endpoints/{endpoint}")
    before = len(receiver.of("/ok"))
    sender.rename(key)
    eventually(lambda: types(receiver.of("/other")), lambda t: "key.renamed" in t)
    assert len(receiver.of("/ok")) == before


def test_long_failing_is_disabled():
    """The setting is in hours: what began failing long ago is found by a clock that went on meanwhile."""
    with Receiver() as receiver, keystile.temporary_data() as data:
        settings = {"KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "20", "KEYSTILE_DELIVERY_DISABLE_AFTER_H": "1"}
        with keystile.Daemon(data, env=settings) as daemon:
            sender = Sender(daemon)
            _, endpoint, _ = made(sender, receiver, "/status/500")
            eventually(lambda: sender.read(endpoint), lambda e: e["failing_since"])
        with sqlite3.connect(data / "keystile.db") as store:
            store.execute("UPDATE endpoints SET failing_since = failing_since - 4000000")
        store.close()
        with keystile.Daemon(data, env=settings) as daemon:
            daemon.first_key = sender.operator.token
            again = Sender(daemon)
            seen = eventually(lambda: again.read(endpoint), lambda e: e["state"] == "disabled")
            assert seen["reason"] == "failing"


# ---- what it may not reach ----

def test_nothing_guarded_is_reached():
    settings = {"KEYSTILE_FETCH_ALLOW": "127.0.0.2", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "50"}
    with Receiver("127.0.0.2") as allowed, Receiver("127.0.0.1") as guarded, keystile.temporary_data() as data, \
            keystile.Daemon(data, env=settings) as daemon:
        sender = Sender(daemon)
        organization = sender.organization()
        inside = f"127.0.0.1:{guarded.port}"
        # By redirect: it is an answer like any other that is no success.
        redirected = sender.endpoint(organization, allowed.url(f"/redirect?to=http://{inside}/"), events=["key.created"])["id"]
        # By name.
        named = sender.endpoint(organization, f"http://localhost:{guarded.port}/", events=["key.created"])["id"]
        # By the forms of an address, which the API refuses before anything is sent.
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[64:ff9b::7f00:1]",
                     "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "10.0.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"):
            for scheme in ("http", "https"):
                body = {"tenant": organization, "url": f"{scheme}://{host}:{guarded.port}/", "events": ["*"]}
                assert sender.operator.call("POST", "/v1/webhook-endpoints", body).status == 422, host
        sender.key(organization)
        for endpoint, code, status in ((redirected, "refused", 302), (named, "address_refused", None)):
            delivery = sender.only(endpoint, lambda d: d["attempts"] >= 2)
            attempt = sender.delivery(delivery["id"])["attempt_list"][0]
            assert (attempt["code"], attempt["status"]) == (code, status)
        assert allowed.wait("/redirect", 2) and not guarded.requests


# ---- what one endpoint does to another ----

def test_hanging_endpoints_hold_up_nobody(sender, receiver):
    organization = sender.organization()
    bad = [f"/hang/{i}" for i in range(6)] + [f"/drip/{i}" for i in range(3)] + [f"/status/500/{i}" for i in range(3)]
    for path in bad:
        sender.endpoint(organization, receiver.url(path), events=["key.created", "key.renamed"], concurrency=16)
    good = [f"/ok/{i}" for i in range(8)]
    for path in good:
        sender.endpoint(organization, receiver.url(path), events=["key.created", "key.renamed"])
    key = sender.key(organization)
    for _ in range(40):
        sender.rename(key)
    for path in good:
        assert len(set(ids(receiver.wait(path, 41)))) == 41
    # While those that hang still do: each has got one request after the other, not all at once.
    for path in bad[:6]:
        assert 1 <= len(receiver.of(path)) <= 40
    receiver.released.set()


def test_the_rate_is_kept(sender, receiver):
    _, endpoint, key = made(sender, receiver, "/ok", events=["key.renamed"], rate_limit=20)
    sender.act(endpoint, "pause")
    for _ in range(60):
        sender.rename(key)
    sender.act(endpoint, "resume")
    arrived = [r.at for r in receiver.wait("/ok", 60)]
    # A second's worth at once, then 20 in each second.
    assert arrived[-1] - arrived[0] > 1.5


def test_the_newest_do_not_starve(sender, receiver):
    _, endpoint, key = made(sender, receiver, "/ok", events=["key.renamed"], concurrency=4, rate_limit=100)
    sender.act(endpoint, "pause")
    for _ in range(300):
        sender.rename(key)
    eventually(lambda: sender.operator.get(f"/v1/deliveries?endpoint={endpoint}&state=pending&limit=500").json["items"], lambda d: len(d) == 300)
    time.sleep(1.1)  # what is due for more than a second is behind
    sender.act(endpoint, "resume")
    receiver.wait("/ok", 20)
    sender.rename(key, "the newest")
    arrived = receiver.wait("/ok", 301)
    at = [json.loads(r.body)["data"]["name"] for r in arrived].index("the newest")
    assert at < 250
    assert len(set(ids(arrived))) == 301
