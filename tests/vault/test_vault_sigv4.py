"""The signer of requests to AWS against the official one (botocore)."""
import datetime
import hashlib
import json
import os
import pathlib
import random
import subprocess
from unittest import mock
from urllib.parse import quote

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

BUILD = pathlib.Path(os.environ.get("KEYSTILE_BUILD", "build"))
CASES = 400
LETTERS = "abcXYZ019-_.~/ +%&=:;,@é漢\"'"


def words(rng, n=12):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(1, n)))


def segment(rng):
    text = quote(words(rng), safe="~")
    return "x" + text


def case(rng):
    path = "/" + "/".join(segment(rng) for _ in range(rng.randrange(0, 4)))
    query = "&".join(f"{quote(words(rng), safe='~')}={quote(words(rng), safe='~')}" for _ in range(rng.randrange(0, 6)))
    names = rng.sample(["X-Amz-Target", "Content-Type", "X-Custom"], rng.randrange(0, 4))
    body = words(rng, 200)
    return {
        "method": rng.choice(["GET", "POST", "PUT"]),
        "host": rng.choice(["kms.us-east-1.amazonaws.com", "127.0.0.1:4566", "a-b.example:8443"]),
        "path": path, "query": query, "body": body,
        "headers": [[name, rng.choice(["a", "  a   b ", "TrentService.Encrypt", "\ta\t b"])] for name in names]
        + rng.choice([[], [["x-amz-content-sha256", hashlib.sha256(body.encode()).hexdigest()]]]),
        "region": rng.choice(["us-east-1", "eu-central-1"]), "service": rng.choice(["kms", "secretsmanager", "sts"]),
        "access_key": "AKIDEXAMPLE", "secret_key": rng.choice(["k", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"]),
        "session_token": rng.choice(["", "token+/=="]), "now_s": rng.randrange(0, 4_000_000_000),
    }


def official(c):
    now = datetime.datetime.fromtimestamp(c["now_s"], datetime.timezone.utc)
    url = f"https://{c['host']}{c['path']}" + (f"?{c['query']}" if c["query"] else "")
    request = AWSRequest(method=c["method"], url=url, data=c["body"].encode(), headers=dict(c["headers"]))
    signer = auth.SigV4Auth(Credentials(c["access_key"], c["secret_key"], c["session_token"] or None), c["service"], c["region"])
    clock = mock.Mock(wraps=datetime)
    clock.datetime.utcnow.return_value = now.replace(tzinfo=None)
    with mock.patch.object(auth, "datetime", clock):
        signer.add_auth(request)
    return request.headers["X-Amz-Date"], request.headers["Authorization"]


def test_it_signs_as_the_official_signer_does():
    rng = random.Random(int(os.environ.get("KEYSTILE_SEED", "1")))
    cases = [case(rng) for _ in range(CASES)]
    ours = subprocess.run([BUILD / "tests" / "vault_sigv4"], input="".join(json.dumps(c) + "\n" for c in cases), text=True,
                          capture_output=True, check=True, timeout=60).stdout.splitlines()
    assert len(ours) == CASES
    for c, line in zip(cases, ours):
        assert tuple(line.split("\t")) == official(c), c
