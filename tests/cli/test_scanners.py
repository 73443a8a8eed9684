#!/usr/bin/python3
"""keystile scanners: patterns that find our tokens, and nothing else."""
import math
import re
import tomllib
import zlib

import keystile
import pytest
import yaml

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
NO_TOKENS = [SECRET, f"revdesk-{SECRET}", f"revdesk_{SECRET[:-1]}", f"revdesk_{SECRET}0", f"revdesk_{SECRET.upper()}",
             f"xrevdesk_{SECRET}", f"revdesk_{SECRET}_xyz", f"revdesk_{SECRET}_123456789", f"other_{SECRET}",
             f"revdesk_{SECRET[:-1]}g", f"revdesk__{SECRET}", "revdesk_your_api_key_here"]
PREFIXES = {"KEYSTILE_TOKENS_PREFIX_LIVE": "revdesk", "KEYSTILE_TOKENS_PREFIX_SANDBOX": "revdesk_test"}


def text_of(data, *arguments, env=PREFIXES):
    done = keystile.run("scanners", *arguments, data=data, env=env)
    assert done.code == 0, done
    assert keystile.run("scanners", *arguments, "--json", data=data, env=env).json == {"format": arguments[0], "text": done.out}
    return done.out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("nothing") / "data"


def checksummed(body):
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def entropy(text):
    return -sum(text.count(c) / len(text) * math.log2(text.count(c) / len(text)) for c in set(text))


def expressions(data):
    """By scanner and prefix: a compiled expression. Letters are those of ASCII, as in the scanners' own engines."""
    def compiled(text):
        return re.compile(text, re.ASCII)
    gitleaks = tomllib.loads(text_of(data, "gitleaks"))["rules"]
    trufflehog = yaml.safe_load(text_of(data, "trufflehog"))["detectors"]
    github = re.findall(r"^Regular expression: (.*)$", text_of(data, "github"), re.M)
    prefixes = ("revdesk", "revdesk_test")
    return {"gitleaks": dict(zip(prefixes, (compiled(r["regex"]) for r in gitleaks))),
            "trufflehog": dict(zip(prefixes, (compiled(d["regex"]["token"]) for d in trufflehog))),
            "github": dict(zip(prefixes, map(compiled, github)))}


@pytest.mark.parametrize("scanner", ["gitleaks", "trufflehog", "github"])
@pytest.mark.parametrize("prefix", ["revdesk", "revdesk_test"])
def test_tokens_are_found(data, scanner, prefix):
    found = expressions(data)[scanner][prefix]
    token = f"{prefix}_{SECRET}"
    for text in (token, checksummed(token)):
        for line in (text, f"KEY={text}", f'"{text}"', f"Bearer {text}\n", f"https://x/?k={text}&a=1", f"({text})", f"{text}."):
            match = found.search(line)
            assert match, line
            assert text in (match.group(0), *match.groups())


@pytest.mark.parametrize("scanner", ["gitleaks", "trufflehog"])
@pytest.mark.parametrize("text", NO_TOKENS)
def test_what_is_no_token_is_not(data, scanner, text):
    for found in expressions(data)[scanner].values():
        assert not found.search(text)


def test_a_checksum_can_be_verified_by_the_expression_alone(data):
    """What the pages for GitHub say of the checksum holds for tokens that the service makes."""
    assert "CRC-32" in text_of(data, "github")
    with keystile.temporary_data() as live:
        keystile.init(live, env={**PREFIXES, "KEYSTILE_TOKENS_CHECKSUM": "true"})
        made = keystile.run("keys", "create", "--name", "x", "--json", data=live, env={"KEYSTILE_TOKENS_CHECKSUM": "true", **PREFIXES})
        token = made.json["token"]
    assert expressions(data)["gitleaks"]["revdesk"].search(token).group(1) == token
    body, checksum = token.rsplit("_", 1)
    assert f"{zlib.crc32(body.encode()):08x}" == checksum


def test_gitleaks_rules(data):
    document = tomllib.loads(text_of(data, "gitleaks"))
    assert document["extend"] == {"useDefault": True}
    for rule, prefix in zip(document["rules"], ("revdesk", "revdesk_test")):
        assert rule["secretGroup"] == 1 and rule["keywords"] == [f"{prefix}_"] and rule["id"] == f"{prefix}-token"
        assert rule["entropy"] < entropy(f"{prefix}_{SECRET}")
        # A placeholder is less random than any token.
        assert rule["entropy"] > entropy("revdesk_" + 32 * "0")


def test_trufflehog_detectors(data):
    plain = yaml.safe_load(text_of(data, "trufflehog"))["detectors"]
    assert [d["name"] for d in plain] == ["revdesk_token", "revdesk_test_token"] and all("verify" not in d for d in plain)
    for url, unsafe in (("https://keys.example.com", None), ("http://127.0.0.1:5397", True)):
        for detector in yaml.safe_load(text_of(data, "trufflehog", "--url", url))["detectors"]:
            (verify,) = detector["verify"]
            assert verify["endpoint"] == f"{url}/v1/verify/trufflehog" and verify.get("unsafe") == unsafe
            assert verify["headers"] == ["Authorization: Bearer REPLACE_ME"]


def test_github(data):
    assert "Endpoint: https://HOST/v1/leaks/github" in text_of(data, "github")
    assert "Endpoint: https://keys.example.com/v1/leaks/github" in text_of(data, "github", "--url", "https://keys.example.com")


def test_one_prefix_for_both_is_one_pattern(data):
    env = {"KEYSTILE_TOKENS_PREFIX_LIVE": "ks", "KEYSTILE_TOKENS_PREFIX_SANDBOX": "ks"}
    assert len(tomllib.loads(text_of(data, "gitleaks", env=env))["rules"]) == 1


@pytest.mark.parametrize("arguments", [["other"], [], ["gitleaks", "github"], ["github", "--url", "ftp://x"], ["github", "--url", "https://x/"],
                                       ["github", "--url", 'https://x"'], ["github", "--url", ""]])
def test_bad_usage(data, arguments):
    assert keystile.run("scanners", *arguments, data=data).code == 2


def test_prefixes_of_the_last_service():
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=PREFIXES):
            pass
        assert "revdesk_" in text_of(data, "gitleaks", env={})
