"""keystile webhooks sign and verify, without a running service."""
import json

import pytest

import keystile

URL = "https://hooks.example.com/in?a=1"
STANDARD_KEY = "whsk_Awt1QKf6MxJCPA7MsYai71zeS2jpXE1LmQZXtB0yJyt6GYAraMUdmWvBBGoqt8PYiwOdagfErpxlC3MdDQNw5A=="
STANDARD_PUBLIC = "whpk_ehmAK2jFHZlrwQRqKrfD2IsDnWoHxK6cZQtzHQ0DcOQ="


@pytest.fixture(name="data", scope="module")
def data_directory():
    with keystile.temporary_data() as data:
        keystile.init(data)
        yield data


def sign_and_verify(data, tmp_path, scheme, params, change=lambda body: body):
    body, settings = tmp_path / "body", tmp_path / "params"
    body.write_bytes("{\"text\":\"Gr\u00fc\u00dfe\"}".encode())
    settings.write_text(json.dumps(params), encoding="utf-8")
    common = ["--scheme", scheme, "--params", str(settings), "--url", URL, "--body", str(body)]
    signed = keystile.run("webhooks", "sign", *common, "--id", "msg_1", data=data)
    headers = [word for line in signed.out.splitlines() for word in ("--header", line)]
    body.write_bytes(change(body.read_bytes()))
    return keystile.run("webhooks", "verify", *common, *headers, data=data)


@pytest.mark.parametrize("scheme,params", [
    ("standardwebhooks.v1", {"secrets": ["whsec_" + "YWJj" * 8]}), ("standardwebhooks.v1", {"secrets": ["whsec_" + "YWJj" * 8, "whsec_" + "eHl6" * 8]}),
    ("standardwebhooks.v1a", {"public_keys": [STANDARD_PUBLIC], "signing_key": STANDARD_KEY}), ("stripe.v1", {"secrets": ["a", "b"]}),
    ("github.sha256", {"secrets": ["a"]}), ("hubspot.v3", {"secrets": ["a"]}), ("slack.v0", {"secrets": ["a"]}),
    ("daily.hmac", {"secrets": ["YWJj"]}),
    ("generic.hmac", {"secrets": ["a"], "template": "{timestamp}.{body}", "header_format": "t={timestamp},v1={signature}", "tolerance": 300})])
def test_what_is_signed_is_genuine(data, tmp_path, scheme, params):
    good = sign_and_verify(data, tmp_path, scheme, params)
    assert (good.code, good.out.strip()) == (0, "ok")
    bad = sign_and_verify(data, tmp_path, scheme, params, lambda body: body + b" ")
    assert (bad.code, bad.out.strip()) == (3, "signature_mismatch")


def test_a_question_in_a_file(data, tmp_path):
    vectors = json.loads((keystile.SOURCE / "tests/vectors/webhooks/vectors-public.json").read_text(encoding="utf-8"))
    for vector in (v for v in vectors if v["case"] in ("valid", "wrong-key") and v["scheme"] == "telnyx.ed25519"):
        path = tmp_path / "question"
        path.write_text(json.dumps(vector), encoding="utf-8")
        done = keystile.run("webhooks", "verify", str(path), data=data)
        assert done.code == (0 if vector["expect"] == "accept" else 3)


def test_mistakes(data):
    assert keystile.run("webhooks", "sign", "--url", URL, data=data).code == 2
    assert keystile.run("webhooks", "sign", "--scheme", "no.such", "--url", URL, data=data).code == 1
    assert keystile.run("webhooks", "sign", "--scheme", "generic.mtls", "--url", URL, data=data).code == 1
    assert keystile.run("webhooks", "verify", "--scheme", "github.sha256", "--url", URL, data=data).code == 1
