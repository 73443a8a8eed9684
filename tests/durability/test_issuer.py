#!/usr/bin/python3
"""kill -9 while the issuer's keys change; and JWTs in processes that decide by the ring alone."""
import contextlib
import http.client
import random
import threading
import urllib.parse

import jwt
import keystile

from test_kill import Reader, make_key, ring_equals_truth, spin

ENV = {"KEYSTILE_POLICY": str(keystile.DEMO_POLICY), "KEYSTILE_ISSUER_URL": "https://auth.test"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LOST = (OSError, http.client.HTTPException)
KILLS = 25


def mint(daemon, key, token):
    body = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": key, "client_secret": token})
    answer = daemon.call("POST", "/v1/token", body, FORM)
    assert answer.status == 200, answer
    return answer.json["access_token"]


def issuer(daemon):
    answer = daemon.local().call("GET", "/v1/issuer")
    assert answer.status == 200, answer
    return {k["kid"]: k["state"] for k in answer.json["keys"]}


class Rotator(threading.Thread):
    """Rotates as fast as it can until the daemon is gone; remembers the last answer and what was asked without one."""

    def __init__(self, daemon, rng):
        super().__init__()
        self.client, self.rng = daemon.local(), rng
        self.acknowledged, self.doubt = None, None

    def run(self):
        with contextlib.suppress(*LOST):
            while True:
                body = self.rng.choice([{}, {"now": True}, {"withdraw": True}])
                self.doubt = body
                answer = self.client.call("POST", "/v1/issuer/rotate", body)
                # As many keys as may be are published.
                if answer.status != 409:
                    assert answer.status == 200, answer
                    self.acknowledged = {k["kid"]: k["state"] for k in answer.json["keys"]}


def follows(before, body, found):
    """Whether the one rotation without an answer was made, whole, or not at all."""
    if found == before:
        return True
    new = set(found) - set(before)
    if body.get("withdraw"):
        return len(found) == len(new) == 1
    if not set(before) <= set(found) or len(new) > 1:
        return False
    if body.get("now"):
        return all(found[kid] == ("retired" if state != "next" else "current") for kid, state in before.items()) and len(new) <= 1
    return all(found[kid] == state for kid, state in before.items()) and [found[kid] for kid in new] == ["next"]


def check(daemon, key, token):
    """The keys are whole, and what they sign is good."""
    found = issuer(daemon)
    states = list(found.values())
    assert states.count("current") == 1 and states.count("next") <= 1, found
    published = {k["kid"]: k for k in daemon.call("GET", "/.well-known/jwks.json").json["keys"]}
    assert set(published) == set(found)
    signed = mint(daemon, key, token)
    kid = jwt.get_unverified_header(signed)["kid"]
    assert found[kid] == "current"
    jwt.decode(signed, jwt.PyJWK(published[kid]).key, algorithms=["ES256"], audience="https://auth.test", issuer="https://auth.test")
    assert daemon.authorize(signed).status == 200
    ring_equals_truth(daemon)
    return signed, kid


def test_kill_during_rotations():
    rng = random.Random(keystile.seed() + 11)
    with keystile.temporary_data() as data:
        keystile.init(data, env=ENV)
        daemon = keystile.Daemon(data, env=ENV).start()
        key, token = make_key(daemon.local(), "good")
        acknowledged = 0
        for _ in range(KILLS):
            before, kid = check(daemon, key, token)
            start = issuer(daemon)
            rotator = Rotator(daemon, rng)
            rotator.start()
            spin(rng, 0.05)
            daemon.kill()
            rotator.join(keystile.PATIENCE_S)
            daemon = keystile.Daemon(data, env=ENV).start()
            assert follows(rotator.acknowledged or start, rotator.doubt or {}, issuer(daemon))
            acknowledged += rotator.acknowledged is not None
            # A key that is still published vouches for what it signed, one that is not for nothing.
            alive = daemon.authorize(before).status == 200
            assert alive == (kid in issuer(daemon))
        check(daemon, key, token)
        assert daemon.stop() == 0
    assert acknowledged > 0


def test_readers_of_the_ring_decide_jwts():
    """In another process, without the daemon, and until the instant of revocation."""
    with keystile.temporary_data() as data:
        keystile.init(data, env=ENV)
        daemon = keystile.Daemon(data, env=ENV).start()
        key, token = make_key(daemon.local(), "good")
        signed = mint(daemon, key, token)
        reader, spinner = Reader(data), Reader(data)
        assert reader.decide(signed) == reader.decide(token) == "ok"
        assert reader.decide(signed[:-2] + "AA") == "credential_invalid"
        daemon.kill()
        assert reader.decide(signed) == "ok"
        daemon = keystile.Daemon(data, env=ENV).start()
        assert daemon.local().call("POST", "/v1/issuer/rotate", {"now": True}).status == 200
        assert reader.decide(signed) == reader.decide(mint(daemon, key, token)) == "ok"
        spinner.spin(signed)
        assert daemon.local().call("DELETE", f"/v1/keys/{key}").status == 200
        assert reader.decide(signed) == "credential_invalid"
        assert spinner.rest()[1] <= {"ok", "credential_invalid"}
        spinner.spin(signed)
        assert spinner.rest()[1] == {"credential_invalid"}
        other, token = make_key(daemon.local(), "other")
        signed = mint(daemon, other, token)
        assert reader.decide(signed) == "ok"
        assert daemon.local().call("POST", "/v1/issuer/rotate", {"withdraw": True}).status == 200
        assert reader.decide(signed) == "credential_invalid" and reader.decide(token) == "ok"
        reader.end()
        spinner.end()
        assert daemon.stop() == 0
