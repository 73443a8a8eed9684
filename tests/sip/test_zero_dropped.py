"""Zero dropped calls: while callers place fifty calls a second, the trunk's password is changed ten times by intake link, and once by a
wrong one. What places the calls asks the service for the credential of each; the trunk takes the password before as long as calls
that began with it are being set up, and counts by which password each came in."""
import csv
import signal

import keystile

from api_service import Api, unique
from links_service import multipart
from peers import HERE, until

RATE, ROTATIONS, CALLS_EACH = 50, 10, 60
TALK_MS = 2500      # longer than a rotation takes: calls live through it
SETTINGS = {"KEYSTILE_FETCH_ALLOW": "127.0.0.0/8"}
# Nothing is given up because the machine is busy: all that is sent is sent again for minutes.
PATIENT = ("-i", "127.0.0.1", "-nostdin", "-max_retrans", "40", "-max_invite_retrans", "40", "-max_non_invite_retrans", "40", "-l", "10000")


def password(number):
    return f"password-{number}"


class Trunk:
    """A provider of platform sip-trunk, and what is known of its calls on both sides."""

    def __init__(self, daemon, peers):
        self.daemon, self.peers = daemon, peers
        self.owner = Api(daemon, local=True)
        organization = self.owner.make_tenant("organization")["id"]
        self.id = self.owner.post("/v1/providers", {"tenant": organization, "platform": "sip-trunk", "name": unique("trunk")}).json["id"]
        for name, value in (("host", "127.0.0.1"), ("port", str(peers.ports["TRUNK"])), ("domain", "trunk.example"), ("user", "alice")):
            self.owner.put(f"/v1/providers/{self.id}/fields/{name}", {"value": value})

    def enter(self, value):
        """As the customer does it: by a link, once. The version that was made."""
        link = self.owner.post(f"/v1/providers/{self.id}/fields/password/links", {"expires_in_s": 600}).json
        headers, body = multipart(("value", value))
        answer = self.daemon.call("POST", "/" + link["url"].split("/", 3)[3], body, headers)
        assert answer.status == 200, answer.body
        return self.owner.get(f"/v1/links/{link['id']}").json["version"]

    def rotate(self, value, stage="current"):
        version = self.enter(value)
        until(lambda: self.stages().get(version) == stage, lambda: f"{self.stages()}\n{self.owner.get(f'/v1/providers/{self.id}/health').body}")

    def stages(self):
        return {v["version"]: v["stage"] for v in self.owner.get(f"/v1/providers/{self.id}/fields/password?limit=50").json["items"]}

    def begun(self):
        """How many calls began with each password, as the service counted them."""
        sets = self.owner.get(f"/v1/providers/{self.id}/report?limit=50").json["items"]
        return {password(s["version"] - 1): s["calls"] for s in sets}

    def taken(self):
        """How many calls the trunk took by each password."""
        return {name: int(count) for name, count in self.peers.table("trunk", "taken").items()}


def ended(path):
    """What sipp counted at its end."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=";"))
    last = dict(zip(rows[0], rows[-1]))
    return {name: int(last[f"{name}(C)"]) for name in ("OutgoingCall", "SuccessfulCall", "FailedCall")}


def test_no_call_is_dropped(peers, tmp_path):
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as daemon:
        peers.proxy("trunk", ALGORITHM="MD5")
        peers.passwords(password(0))
        trunk = Trunk(daemon, peers)
        trunk.rotate(password(0))
        token = trunk.owner.make_key(kind="runtime", scopes=["keystile:secrets:reveal"])["token"]
        peers.proxy("edge", REVEAL=f"http://127.0.0.1:{daemon.port}/v1/providers/{trunk.id}/reveal", TOKEN=token)
        peers.start("called", "sipp", "-sf", HERE / "called.xml", "-p", peers.ports["UAS"], *PATIENT)
        calls = peers.start("caller", "sipp", "-sf", HERE / "caller.xml", f"127.0.0.1:{peers.ports['EDGE']}", "-s", "1001", "-r", RATE,
                            "-d", TALK_MS, *PATIENT, "-trace_stat", "-stf", "caller.csv", "-fd", "1", "-trace_err", "-error_file", "caller.err")

        def told():
            errors = tmp_path / "caller.err"
            return f"began {trunk.begun()}\ntaken {trunk.taken()}\n{peers.told('trunk', 'edge')}\n{errors.read_text()[:4000] if errors.exists() else ''}"

        def used(number):
            """So many calls began with it that a mistake would show, and all that began with those before are set up."""
            began, taken = trunk.begun(), trunk.taken()
            before = [password(n) for n in range(number)]
            return began.get(password(number), 0) >= CALLS_EACH and all(began[p] == taken.get(p) for p in before)

        until(lambda: used(0), told)
        for number in range(1, ROTATIONS + 1):
            peers.passwords(password(number), password(number - 1))
            trunk.rotate(password(number))
            if number == ROTATIONS // 2:
                trunk.rotate("not the password", "failed")
            until(lambda n=number: used(n), told)
        assert calls.poll() is None, told()
        calls.send_signal(signal.SIGUSR1)    # no new calls; it ends when the last has ended
        assert calls.wait(keystile.PATIENCE_S) == 0, told()
        peers.running.pop("caller")
        counted = ended(tmp_path / "caller.csv")
        assert counted["FailedCall"] == 0 and counted["SuccessfulCall"] == counted["OutgoingCall"], told()
        assert counted["SuccessfulCall"] >= CALLS_EACH * (ROTATIONS + 1)
        # Every call came in at its first try, by the password with which the service says that it began.
        assert trunk.taken() == trunk.begun() and sum(trunk.taken().values()) == counted["SuccessfulCall"], told()
        # The wrong password was tried by the probe, and by no call.
        assert peers.table("trunk", "refused") == {"REGISTER": "1"}, told()
