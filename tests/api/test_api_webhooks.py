"""POST /v1/webhooks/verify, with the public vectors as they are, and with what is no question at all."""
import base64
import json

import pytest
import yaml

import keystile

VECTORS = json.loads((keystile.SOURCE / "tests/vectors/webhooks/vectors-public.json").read_text(encoding="utf-8"))
GITHUB = next(v for v in VECTORS if v["scheme"] == "github.sha256" and v["case"] == "valid")
FORM = yaml.safe_load((keystile.SOURCE / "platforms/github.yaml").read_text(encoding="utf-8"))["webhook"]["github.sha256"]


def question(**changes):
    return {name: GITHUB[name] for name in ("scheme", "params", "request", "now")} | changes


def ask(caller, body, expect=200, **more):
    return caller.post("/v1/webhooks/verify", body, expect=expect, **more)


def body_of(answer):
    return base64.b64decode(answer["response"]["body_base64"]).decode()


def test_vectors(operator):
    """A third of them, of each scheme some; tests/webhooks decides about all."""
    wrong = []
    for vector in VECTORS[::3]:
        if vector["level"] == "may":
            continue
        answer = ask(operator, vector).json
        if answer["valid"] != (vector["expect"] == "accept") or (answer["code"] == "ok") != answer["valid"]:
            wrong.append((vector["id"], answer["code"]))
    assert not wrong


@pytest.mark.parametrize("case,code", [("valid", "ok"), ("tampered-body", "signature_mismatch"), ("missing-signature", "header_missing"),
                                       ("duplicate-signature-bogus-last", "malformed"), ("stale", "timestamp_out_of_range")])
def test_codes(operator, case, code):
    vector = next(v for v in VECTORS if v["case"] == case and v["scheme"] == "zoom.v0")
    assert ask(operator, vector).json["code"] == code
    address = next(v for v in VECTORS if v["case"] == "v4-below")
    assert ask(operator, address).json["code"] == "address_not_allowed"


def test_a_scheme_of_ones_own(operator):
    assert ask(operator, question(scheme=FORM)).json["valid"] is True
    other = json.loads(json.dumps(FORM).replace("sha256=", "sha512="))
    assert ask(operator, question(scheme=other)).json["valid"] is False


def test_the_answer_says_what_is_weak_and_what_to_answer(operator):
    answer = ask(operator, question()).json
    assert (answer["warnings"], answer["challenge"], answer["response"]) == (["no_timestamp"], False, None)
    assert answer["replay_key"] and answer["replay_s"] == 86400
    vector = next(v for v in VECTORS if v["case"] == "challenge-url-validation")
    answer = ask(operator, vector).json
    assert answer["challenge"] and not answer["unauthenticated"]
    assert json.loads(body_of(answer)) == json.loads(vector["response"]["body"])
    unsigned = next(v for v in VECTORS if v["case"] == "challenge-unsigned")
    assert ask(operator, unsigned).json["response"]["body_base64"] == ""


def test_now_is_the_services_where_it_is_left_out(operator):
    vector = next(v for v in VECTORS if v["case"] == "valid" and v["scheme"] == "stripe.v1")
    late = {name: vector[name] for name in ("scheme", "params", "request")}
    assert ask(operator, late).json["code"] == "timestamp_out_of_range"


@pytest.mark.parametrize("change,pointer", [
    ({"scheme": "no.such"}, "/scheme"), ({"scheme": 1}, "/scheme"), ({"params": None}, "/params"), ({"request": []}, "/request"),
    ({"params": {}}, "/params/secrets"), ({"params": {"secrets": ["a"], "more": 1}}, "/params/more"),
    ({"params": {"secrets": 1}}, "/params/secrets"), ({"surprise": 1}, "/surprise"), ({"now": -1}, "/now"), ({"now": "x"}, "/now"),
    ({"request": GITHUB["request"] | {"headers": {}}}, "/request/headers"),
    ({"request": GITHUB["request"] | {"headers": [["a"]]}}, "/request/headers"),
    ({"request": GITHUB["request"] | {"body_base64": "e30"}}, "/request/body_base64"),
    ({"request": GITHUB["request"] | {"more": 1}}, "/request/more"),
    ({"scheme": FORM | {"verify": []}}, "/scheme"), ({"scheme": FORM | {"warnings": []}}, None),
    ({"scheme": FORM | {"verify": [{"hmac": {"digest": "sha3"}}]}}, "/scheme/verify/0/hmac/digest")])
def test_mistakes_are_told_with_their_place(operator, change, pointer):
    if pointer is None:
        ask(operator, question(**change), expect=200)
        return
    problem = ask(operator, question(**change), expect=422, code="invalid").json
    assert pointer in [e["pointer"] for e in problem["errors"]]


@pytest.mark.parametrize("secrets", [[""], []])
def test_an_empty_secret_vouches_for_nothing(operator, secrets):
    answer = ask(operator, question(params={"secrets": secrets})).json
    assert (answer["valid"], answer["code"]) == (False, "signature_mismatch")
    assert "/params/secrets" in answer["detail"]


@pytest.mark.parametrize("scopes,status", [(["keystile:webhooks:read"], 200), (["keystile:keys:read"], 403), ([], 403)])
def test_callers(operator, scopes, status):
    ask(operator.as_key(scopes=scopes), question(), expect=status)
