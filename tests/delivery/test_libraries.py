# SPDX-License-Identifier: Apache-2.0
"""What is sent verifies with the libraries that receivers use: standardwebhooks and svix (npm), and Ed25519 of node."""
import base64
import json
import subprocess

import keystile

WEBHOOKS = keystile.SOURCE / "tests" / "webhooks"


def verify(*cases):
    """Per case of (request, secrets, public keys): how many verify it, by library."""
    assert (WEBHOOKS / "node_modules").is_dir(), "npm ci --prefix tests/webhooks"
    asked = [{"headers": {k.lower(): v for k, v in r.headers.items()}, "body_base64": base64.b64encode(r.body).decode(), "secrets": s,
              "public_keys": p} for r, s, p in cases]
    done = subprocess.run(["node", WEBHOOKS / "verify.mjs"], input=json.dumps(asked), capture_output=True, text=True, check=False,
                          timeout=keystile.PATIENCE_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def both(count):
    return {"standardwebhooks": count, "svix": count, "ed25519": 0}


def test_every_body_verifies_and_no_other_secret_does(sender, receiver):
    organization = sender.organization()
    endpoint = sender.endpoint(organization, receiver.url("/ok"))
    key = sender.key(organization)
    names = ["x", "Grüße 東京 📞", '"\\/ \u2028 </script>', "e\u0301", "\u0600" * 60]
    for name in names:
        sender.rename(key, name)
    requests = receiver.wait("/ok", 2 + len(names))
    assert [json.loads(r.body)["data"]["name"] for r in requests if json.loads(r.body)["type"] == "key.renamed"] == names
    wrong = "whsec_" + base64.b64encode(b"w" * 32).decode()
    assert verify(*((r, [endpoint["secret"], wrong], []) for r in requests)) == [both(1)] * len(requests)


def test_what_is_sent_is_the_event(sender, receiver):
    organization = sender.organization()
    endpoint = sender.endpoint(organization, receiver.url("/ok"))
    key = sender.key(organization)
    made = [r for r in receiver.wait("/ok", 2) if json.loads(r.body)["type"] == "key.created"][0]
    body = json.loads(made.body)
    event = sender.operator.get(f"/v1/events/{body['id']}").json
    assert made.headers["webhook-id"] == body["id"]
    assert made.headers["content-type"] == "application/json" and made.headers["user-agent"].startswith("keystile/")
    assert abs(int(made.headers["webhook-timestamp"]) - made.at) < 60
    assert body == {"id": event["id"], "type": "key.created", "timestamp": event["at"], "tenant": organization, "organization": organization,
                    "object": key, "data": event["data"]}
    delivery = [d for d in sender.settled(endpoint["id"], 2) if d["event"] == body["id"]][0]
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 200)


def test_rotation_signs_with_both_and_then_with_one(sender, receiver):
    organization = sender.organization()
    endpoint = sender.endpoint(organization, receiver.url("/ok"))
    key = sender.key(organization)
    receiver.wait("/ok", 2)
    first = endpoint["secret"]
    second = sender.act(endpoint["id"], "rotate", {"overlap_s": 3600}).json["secret"]
    third = sender.act(endpoint["id"], "rotate", {"overlap_s": 3600}).json["secret"]
    assert len({first, second, third}) == 3
    sender.rename(key)
    during = receiver.wait("/ok", 5)[4]
    last = sender.act(endpoint["id"], "rotate", {"overlap_s": 0}).json["secret"]
    sender.rename(key)
    after = receiver.wait("/ok", 7)[6]
    assert during.headers["webhook-signature"].count("v1,") == 3
    assert after.headers["webhook-signature"].count("v1,") == 1
    assert verify((during, [first], []), (during, [second], []), (during, [third], []), (during, [last], [])) == [both(1)] * 3 + [both(0)]
    assert verify((after, [first, second, third], []), (after, [last], [])) == [both(0), both(1)]


def test_ed25519_by_choice_and_by_rotation(sender, receiver):
    organization = sender.organization()
    endpoint = sender.endpoint(organization, receiver.url("/ok"), signature="v1a")
    assert endpoint["secret"] is None
    public = endpoint["secrets"][0]["public_key"]
    key = sender.key(organization)
    first = receiver.wait("/ok", 2)[1]
    secret = sender.act(endpoint["id"], "rotate", {"overlap_s": 3600, "signature": "v1"}).json["secret"]
    sender.rename(key)
    during = receiver.wait("/ok", 4)[3]
    other = "whpk_" + base64.b64encode(bytes(32)).decode()
    assert first.headers["webhook-signature"].startswith("v1a,")
    assert verify((first, [], [public, other]), (during, [secret], [public])) == [
        {"standardwebhooks": 0, "svix": 0, "ed25519": 1}, {"standardwebhooks": 1, "svix": 1, "ed25519": 1}]
