# SPDX-License-Identifier: Apache-2.0
"""Webhooks and kill -9: whatever was committed arrives at every endpoint, with its id and signed, however often the service
is killed while events are written, handed out, sent and written as sent; what comes twice is the same."""
import base64
import collections
import hashlib
import hmac
import http.client
import json
import random
import threading

import keystile
from receiver import Receiver

KILLS = 60
WRITERS = 2
PATHS = ("/ok", "/fail/once?times=1", "/fail/closed?times=1&how=close")
ENV = {"KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "20", "KEYSTILE_USAGE_FLUSH_MS": "60000"}
TOLD = (OSError, http.client.HTTPException, json.JSONDecodeError)


def make(local, receiver):
    tenant = local.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]
    secrets = {}
    for path in PATHS:
        body = {"tenant": tenant, "url": receiver.url(path), "events": ["key.renamed"]}
        answer = local.call("POST", "/v1/webhook-endpoints", body)
        assert answer.status == 201, answer.body
        secrets[path.split("?")[0]] = base64.b64decode(answer.json["secret"][len("whsec_"):])
    keys = [local.call("POST", "/v1/keys", {"name": "k", "tenant": tenant, "scopes": [], "expires_at": None}).json["id"]
            for _ in range(WRITERS)]
    return tenant, keys, secrets


class Load:
    """Renames keys until the service is gone; what was acknowledged is remembered."""

    def __init__(self):
        self.acknowledged = set()
        self.count = 0
        self.changed = threading.Condition()

    def write(self, daemon, key, round_number, writer):
        client = daemon.local()
        for n in range(100000):
            name = f"{round_number}.{writer}.{n}"
            try:
                if client.call("PATCH", f"/v1/keys/{key}", {"name": name}).status != 200:
                    return
            except TOLD:
                return
            with self.changed:
                self.acknowledged.add(name)
                self.count += 1
                self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, keystile.PATIENCE_S)


def run_and_kill(daemon, receiver, load, keys, number, chance):
    """At some moment: so many changes after the start, or so many arrivals, or at once."""
    writers = [threading.Thread(target=load.write, args=(daemon, key, number, i)) for i, key in enumerate(keys)]
    arrived, written = len(receiver.requests), load.count
    for writer in writers:
        writer.start()
    moment = chance.choice(("changes", "arrivals", "start"))
    if moment == "changes":
        load.wait(written + chance.randrange(1, 60))
    elif moment == "arrivals":
        wanted = arrived + chance.randrange(1, 150)
        with receiver.changed:
            assert receiver.changed.wait_for(lambda: len(receiver.requests) >= wanted, keystile.PATIENCE_S)
    daemon.kill()
    for writer in writers:
        writer.join(keystile.PATIENCE_S)


def events_of(local, tenant):
    cursor, items = None, {}
    while True:
        page = local.call("GET", f"/v1/events?tenant={tenant}&type=key.renamed&limit=500" + (f"&cursor={cursor}" if cursor else "")).json
        items.update({e["id"]: e["data"]["name"] for e in page["items"]})
        cursor = page["next"]
        if not cursor:
            return items


def wait_for_all(receiver, events):
    """Every endpoint has said yes to every event: at those that fail first, to the second request at least."""
    def missing():
        return [(path, e) for path, least in (("/ok", 1), ("/fail/once", 2), ("/fail/closed", 2)) for e in events
                if receiver.seen[(path, e)] < least]
    with receiver.changed:
        done = receiver.changed.wait_for(lambda: not missing(), keystile.PATIENCE_S)
        assert done, missing()[:10]


def check_requests(receiver, events, secrets):
    bodies = collections.defaultdict(set)
    for request in receiver.requests:
        identity, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        assert identity in events, f"{identity} was never committed"
        bodies[identity].add(request.body)
        mac = hmac.new(secrets[request.path], f"{identity}.{timestamp}.".encode() + request.body, hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    for identity, same in bodies.items():
        assert len(same) == 1
        body = json.loads(same.pop())
        assert (body["id"], body["data"]["name"]) == (identity, events[identity])


def settled(local, tenant):
    """True once nothing is waiting."""
    return not local.call("GET", f"/v1/deliveries?tenant={tenant}&state=pending&limit=1").json["items"]


def test_no_committed_event_is_lost():
    chance = random.Random(keystile.seed())
    load = Load()
    with Receiver() as receiver, keystile.temporary_data() as data:
        tenant = keys = secrets = None
        for number in range(KILLS):
            daemon = keystile.Daemon(data, env=ENV).start()
            if tenant is None:
                tenant, keys, secrets = make(daemon.local(), receiver)
            run_and_kill(daemon, receiver, load, keys, number, chance)
        with keystile.Daemon(data, env=ENV) as daemon:
            events = events_of(daemon.local(), tenant)
            assert load.acknowledged <= set(events.values())
            wait_for_all(receiver, events)
            waiter = threading.Event()
            while not settled(daemon.local(), tenant):
                waiter.wait(0.02)
        check_requests(receiver, events, secrets)
        print(f"{KILLS} kills, {len(events)} events, {len(receiver.requests)} requests")
