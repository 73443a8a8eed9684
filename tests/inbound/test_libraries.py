"""What the platforms' own libraries (npm) sign now is taken at /hooks, kept as it was sent, and refused when a byte of it is another."""
import subprocess

import pytest

from hooks import ORIGIN, base64, json, keystile, service

FOLDER = keystile.SOURCE / "tests/webhooks"
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SCHEMES = {
    "twilio.form": ("twilio", "0123456789abcdef", None),
    "twilio.body-sha256": ("twilio", "0123456789abcdef", None),
    "stripe.v1": ("stripe", "whsec_0123456789", None),
    "standardwebhooks.v1": ("standardwebhooks", WHSEC, None),
    "svix.v1": ("svix", WHSEC, None),
    "github.sha256": ("github", "0123456789abcdef", None),
    "livekit.jwt": ("livekit", "0123456789abcdef0123456789abcdef", {"issuer": "APIkey"}),
    "dialpad.jwt-body": ("dialpad", "0123456789abcdef0123456789abcdef", None),
    "rfc9421.request": ("generic", KEY, {"keys": [{"keyid": "k", "alg": "hmac-sha256", "secret_base64": KEY}], "secrets": None}),
}


@pytest.fixture(scope="module", name="sent")
def sent_by_libraries():
    """(hooks, {scheme: (source, requests)})"""
    assert (FOLDER / "node_modules").is_dir(), "npm ci --prefix tests/webhooks"
    with service() as hooks:
        sources = {}
        for scheme, (platform, secret, more) in SCHEMES.items():
            parameters = {"secrets": [secret], **(more or {})}
            sources[scheme] = hooks.source(platform, scheme, {k: v for k, v in parameters.items() if v is not None})
        asked = {scheme: {"url": f"{ORIGIN}/hooks/{sources[scheme]}/in", "secret": SCHEMES[scheme][1]} for scheme in SCHEMES}
        done = subprocess.run(["node", FOLDER / "live.mjs"], input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-4000:]
        yield hooks, {scheme: (sources[scheme], requests) for scheme, requests in json.loads(done.stdout).items()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_libraries_sign(sent, scheme):
    hooks, made = sent
    source, requests = made[scheme]
    assert len(requests) >= 2
    for request in requests:
        body, rest = base64.b64decode(request["body_base64"]), request["url"].split(source)[1]
        if scheme != "dialpad.jwt-body":
            assert hooks.send(source, body + b"x", request["headers"], rest=rest).status == 401
        else:
            assert hooks.send(source, body[:-3] + b"AAA", request["headers"], rest=rest).status == 401
        assert hooks.send(source, body, request["headers"], rest=rest).status == 200
        message = hooks.message(source)
        assert base64.b64decode(message["body_base64"]) == body and message["target"].startswith(f"/hooks/{source}/in")
    assert len(hooks.messages(source)) == len(requests)
