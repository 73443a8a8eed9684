"""Many providers whose probes are due all at once: so many are under way at a time and no more, all get their turn, and one platform that does not
answer takes it from nobody."""
import select
import sqlite3

import pytest

import keystile

from api_service import eventually
from sip_peer import SipPeer, head_of, response

PLATFORM = """version: 1
name: {name}
label: Trunk
about: A trunk that is asked who is there.
fields:
  token: {{label: Token, type: secret}}
"""
PROBE = """probe:
  kind: sip-options
  host: 127.0.0.1
  port: "{port}"
  transport: udp
  user: keystile
"""
SETTINGS = {"KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8", "KEYSTILE_HEALTH_TIMEOUT_MS": "5000",
            "KEYSTILE_HEALTH_BUSY_PERCENT": "100"}  # other tests want the processors
MANY = 2000
QUIET_S = 0.02


class Trunk(SipPeer):
    """Answers when more than `hold` wait for an answer, or when nobody else comes; knows how many waited at most. With None it never answers."""

    def __init__(self, hold):
        self.hold, self.most, self.waiting, self.seen = hold, 0, {}, set()
        super().__init__()

    def run(self):
        while True:
            if select.select([self.socket], [], [], QUIET_S)[0]:
                self.take(*self.socket.recvfrom(65536))
            elif self.hold:
                self.answer_all()
            if self.hold and len(self.waiting) > self.hold:
                self.answer_all()

    def take(self, data, peer):
        head = head_of(data.decode())
        self.waiting[head["Call-ID"]] = (head, peer)
        self.seen.add(head["Call-ID"])
        self.most = max(self.most, len(self.waiting))

    def answer_all(self):
        for head, peer in self.waiting.values():
            self.socket.sendto(response(head, "200 OK"), peer)
        self.waiting = {}


class World:
    def __init__(self, data, own):
        self.data, self.own = data, own

    def start(self, **settings):
        return keystile.Daemon(self.data, env={**SETTINGS, "KEYSTILE_PLATFORMS_OWN": self.own,
                                               **{f"KEYSTILE_HEALTH_{name.upper()}": value for name, value in settings.items()}})

    def write_platform(self, name, port=None):
        (self.own / f"{name}.yaml").write_text(PLATFORM.format(name=name) + (PROBE.format(port=port) if port else ""))

    def make(self, platform, count):
        """While the platform has no probe, what is entered is current."""
        self.write_platform(platform)
        with self.start(interval_s=0) as daemon:
            client = daemon.local()
            organization = client.call("POST", "/v1/tenants", {"kind": "organization", "name": platform}).json["id"]
            for i in range(count):
                made = client.call("POST", "/v1/providers", {"tenant": organization, "platform": platform, "name": str(i)}).json["id"]
                assert client.call("PUT", f"/v1/providers/{made}/fields/token", {"value": "t"}).json["current"] == 1
            eventually(lambda: self.count("TRUE"), self.count("TRUE", "providers"))

    def count(self, where, table="provider_health"):
        store = sqlite3.connect(f"file:{self.data}/keystile.db?mode=ro", uri=True)
        try:
            return store.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
        finally:
            store.close()

    def make_due(self, platform, due_at):
        store = sqlite3.connect(self.data / "keystile.db")
        with store:
            store.execute("UPDATE provider_health SET due_at = ?, checked_at = NULL"
                          " WHERE provider IN (SELECT id FROM providers WHERE platform = ?)", (due_at, platform))
        store.close()

    def probed(self, platform):
        return self.count(f"checked_at IS NOT NULL AND provider IN (SELECT id FROM providers WHERE platform = '{platform}')")


@pytest.fixture
def world(tmp_path):
    with keystile.temporary_data() as data:
        yield World(data, tmp_path)


def test_all_are_probed_and_never_more_than_the_bound_at_a_time(world):
    world.make("many", MANY)
    # Two of those at a time are kept for what is urgent.
    for settings, bound in (({"concurrency": 16, "per_host": 64, "per_second": 400}, 14), ({"concurrency": 32, "per_host": 5}, 5)):
        trunk = Trunk(hold=bound)
        world.write_platform("many", trunk.port)
        world.make_due("many", 1)
        with world.start(**settings):
            eventually(lambda: world.probed("many"), MANY)
        assert 1 < trunk.most <= bound
        assert len(trunk.seen) == MANY
        assert world.count("status = 0 AND code = 'ok'") == MANY


def test_a_platform_that_does_not_answer_takes_nobodys_turn(world):
    """Those of the silent one have waited longer, and there are more of them than can wait in memory."""
    world.make("silent", 1200)
    world.make("well", 20)
    silent, well = Trunk(hold=None), Trunk(hold=8)
    world.write_platform("silent", silent.port)
    world.write_platform("well", well.port)
    world.make_due("silent", 1)
    world.make_due("well", 2)
    with world.start():
        eventually(lambda: world.probed("well"), 20)
        assert world.probed("silent") < 600
