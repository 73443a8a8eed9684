"""Webhooks and kill -9: whatever was acknowledged is there once, after any number of kills, and what the platform sends again
because nobody acknowledged it is there once too. And a full disk: nothing is acknowledged that is not kept."""
import hashlib
import hmac
import http.client
import random
import sqlite3
import threading

import keystile
from test_disk_full import MIB, SmallDisk

KILLS = 50
SENDERS = 6
SECRET = "a-secret-of-the-test"
TOLD = (OSError, http.client.HTTPException)


def make(local):
    tenant = local.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]
    body = {"tenant": tenant, "platform": "github", "name": "hooks", "parameters": {"secrets": [SECRET]}}
    return local.call("POST", "/v1/sources", body).json["id"]


def send(client, source, delivery):
    body = delivery.encode() * 20
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return client.call("POST", f"/hooks/{source}", body, {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": delivery}).status


class Platform:
    """Sends each delivery until it is acknowledged, and some of them again."""

    def __init__(self, chance):
        self.chance, self.lock = chance, threading.Lock()
        self.acknowledged, self.open, self.next = [], [], 0

    def take(self):
        with self.lock:
            if self.open:
                return self.open.pop()
            if self.acknowledged and self.chance.random() < 0.1:
                return self.chance.choice(self.acknowledged)
            self.next += 1
            return f"delivery-{self.next}"

    def run(self, daemon, source):
        client = daemon.client()
        while True:
            delivery = self.take()
            try:
                status = send(client, source, delivery)
            except TOLD:
                with self.lock:
                    if delivery not in self.acknowledged:
                        self.open.append(delivery)
                return
            assert status == 200
            with self.lock:
                if delivery not in self.acknowledged:
                    self.acknowledged.append(delivery)


def kept(data):
    with sqlite3.connect(f"file:{data}/keystile.db?mode=ro", uri=True) as store:
        bodies = [row[0] for row in store.execute("SELECT body FROM inbound")]
        events = store.execute("SELECT count(*), count(DISTINCT object) FROM events WHERE type = 'inbound.received'").fetchone()
    return [b[:len(b) // 20].decode() for b in bodies], events


def check(data, platform):
    deliveries, events = kept(data)
    assert len(deliveries) == len(set(deliveries)), "one is there twice"
    assert set(platform.acknowledged) <= set(deliveries), "one that was acknowledged is lost"
    assert set(deliveries) <= set(platform.acknowledged) | set(platform.open)
    assert events == (len(deliveries), len(deliveries))


def test_killed_while_webhooks_arrive():
    chance = random.Random(keystile.seed())
    platform = Platform(random.Random(chance.random()))
    source = None
    with keystile.temporary_data() as data:
        for number in range(KILLS):
            daemon = keystile.Daemon(data)
            with daemon:
                source = source or make(daemon.local())
                threads = [threading.Thread(target=platform.run, args=(daemon, source)) for _ in range(SENDERS)]
                wanted = platform.next + chance.randrange(1, 120)
                for thread in threads:
                    thread.start()
                while platform.next < wanted and any(t.is_alive() for t in threads):
                    threads[0].join(0.002)
                daemon.kill()
                for thread in threads:
                    thread.join()
            if number % 10 == 9:
                check(data, platform)
        with keystile.Daemon(data) as daemon:
            client = daemon.client()
            for delivery in list(platform.open):
                assert send(client, source, delivery) == 200
                platform.acknowledged.append(delivery)
            platform.open.clear()
        check(data, platform)
    assert len(platform.acknowledged) > 10 * KILLS


def test_a_full_disk_acknowledges_nothing():
    with keystile.temporary_data() as data, SmallDisk(data, 48 * MIB) as disk:
        with keystile.Daemon(data) as daemon:
            client, acknowledged, number = daemon.client(), [], 0
            source = make(daemon.local())
            disk.fill(leave=MIB)
            while True:
                number += 1
                status = send(client, source, f"delivery-{number}")
                if status != 200:
                    break
                acknowledged.append(f"delivery-{number}")
                assert number < 100000
            assert status == 503
            disk.free()
            assert send(client, source, f"delivery-{number}") == 200
            acknowledged.append(f"delivery-{number}")
        deliveries, events = kept(data)
        assert sorted(deliveries) == sorted(acknowledged) and events == (len(deliveries),) * 2
