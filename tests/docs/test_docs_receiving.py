"""Every example of docs/webhooks/receiving.md that verifies, run: it takes what is genuine and nothing else."""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pages import DOCS, keystile
from listener import OTHER, SECRET, signature, signed_headers

PAGE = DOCS / "webhooks" / "receiving.md"
BODY = "{\"type\":\"key.created\",\"data\":{\"name\":\"Gr\u00fc\u00dfe \u6771\u4eac\"}}".encode()
PATIENCE_S = keystile.PATIENCE_S


def example(language, number=0):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)[number]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


# Each makes a command that takes a secret, id, timestamp, signature and a file, and ends with 0 where that is genuine.

def node(folder):
    (folder / "node_modules").symlink_to(keystile.SOURCE / "tests" / "webhooks" / "node_modules")
    assert (folder / "node_modules").is_dir(), "npm ci --prefix tests/webhooks"
    return ["node", write(folder / "verify.mjs", "import fs from 'node:fs';\n" + example("js") + """
const [secret, id, timestamp, signature, file] = process.argv.slice(2);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
process.exit(genuine(secret, headers, fs.readFileSync(file)) ? 0 : 1);
""")]


PYTHON = """
import sys
secret, id, timestamp, signature, file = sys.argv[1:]
headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
sys.exit(0 if genuine(secret, headers, open(file, "rb").read()) else 1)
"""


def python(folder):
    return [sys.executable, write(folder / "verify.py", example("python") + PYTHON)]


def go(folder):
    assert shutil.which("go"), "tools/install-packages --tests"
    source = "package main\n\n" + example("go").replace("import (", "import (\n\t\"os\"", 1) + """
func main() {
	h := http.Header{}
	h.Set("webhook-id", os.Args[2])
	h.Set("webhook-timestamp", os.Args[3])
	h.Set("webhook-signature", os.Args[4])
	body, err := os.ReadFile(os.Args[5])
	if err != nil || !genuine(os.Args[1], h, body) {
		os.Exit(1)
	}
}
"""
    environment = {**os.environ, "GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "HOME": str(folder)}
    built(["go", "build", "-o", folder / "verify", write(folder / "verify.go", source)], env=environment)
    return [str(folder / "verify")]


def c(folder):
    source = example("c") + """
#include <stdio.h>
int main(int argc, char **argv)
{
	static unsigned char key[256], body[65536];
	FILE *in = fopen(argv[5], "rb");
	size_t n = fread(body, 1, sizeof(body), in);
	const char *text = argv[1] + 6;
	int key_n = EVP_DecodeBlock(key, (const unsigned char *)text, (int)strlen(text));
	for (size_t i = strlen(text); i > 0 && text[i - 1] == '='; i--)
		key_n--;
	fclose(in);
	return argc != 6 || !genuine(key, key_n, argv[2], argv[3], argv[4], body, n);
}
"""
    built(["cc", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-o", folder / "verify", write(folder / "verify.c", source), "-lcrypto"])
    return [str(folder / "verify")]


def shell(folder):
    return ["sh", write(folder / "verify.sh", example("sh") + "\ngenuine \"$@\"\n")]


def built(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env)
    assert done.returncode == 0, done.stderr[-4000:]


LANGUAGES = [node, python, go, c, shell]


@pytest.fixture(scope="module", params=LANGUAGES, ids=[f.__name__ for f in LANGUAGES])
def verify(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    command = request.param(folder)

    def run(headers, body=BODY, secret=SECRET):
        (folder / "body").write_bytes(body)
        done = subprocess.run([*command, secret, headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], folder / "body"],
                              capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        return done.returncode == 0
    return run


def test_what_is_not_genuine_is_refused(verify):
    good = signed_headers(BODY)
    assert not verify(good, BODY + b" ")
    assert not verify(good, b"")
    assert not verify(good, secret=OTHER)
    assert not verify({**good, "webhook-id": "msg_2"})
    assert not verify({**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) - 1)})
    for wrong in ("", "v1,", "v1", " ", good["webhook-signature"][:-1], good["webhook-signature"] + "A", good["webhook-signature"][3:],
                  good["webhook-signature"].replace("v1,", "v1a,"), "v1," + "*" * 44, good["webhook-signature"].swapcase()):
        assert not verify({**good, "webhook-signature": wrong}), wrong


def test_no_secret_vouches_for_nothing(verify):
    empty = signed_headers(BODY, ["whsec_"])
    assert not verify(empty, secret="whsec_")
    assert not verify({**empty, "webhook-signature": "v1,"}, secret="whsec_")


@pytest.mark.parametrize("age", [-330, 330, 86400 * 365])
def test_another_time_is_refused(verify, age):
    assert not verify(signed_headers(BODY, stamp=int(time.time()) - age))


def test_what_is_genuine_is_taken(verify):
    for body in (BODY, b"{}", b"{\"text\":\"%s %d %n\"}", json.dumps({"text": "x" * 60000}).encode()):
        assert verify(signed_headers(body), body)
    for age in (-240, 240):
        assert verify(signed_headers(BODY, stamp=int(time.time()) - age))


def test_either_secret_of_a_rotation_is_enough(verify):
    both = signed_headers(BODY, [OTHER, SECRET])
    assert verify(both, secret=SECRET) and verify(both, secret=OTHER)
    mixed = {**both, "webhook-signature": "v1a," + "A" * 86 + "== " + both["webhook-signature"]}
    assert verify(mixed, secret=SECRET) and not verify(mixed, secret="whsec_" + "YWJj" * 8)


# ---- Ed25519 ----

def test_a_key_pair(tmp_path):
    command = [sys.executable, write(tmp_path / "verify.py", example("python", 1) + PYTHON)]
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(raw(key)).decode()

    def verify(body, signer, age=0, change=lambda text: text):
        stamp = int(time.time()) - age
        text = "v1a," + base64.b64encode(signer.sign(f"msg_1.{stamp}.".encode() + BODY)).decode()
        (tmp_path / "body").write_bytes(body)
        return subprocess.run([*command, public, "msg_1", str(stamp), change(text), tmp_path / "body"], capture_output=True, check=False,
                              timeout=PATIENCE_S).returncode == 0
    assert not verify(BODY + b" ", key) and not verify(BODY, stranger) and not verify(BODY, key, age=400)
    assert not verify(BODY, key, change=lambda text: text.replace("v1a", "v1")) and not verify(BODY, key, change=lambda text: text[:-3])
    assert verify(BODY, key) and verify(BODY, key, change=lambda text: "v1,AAAA " + text)


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


# ---- the page itself ----

def test_the_page_says_what_the_settings_say():
    text = PAGE.read_text(encoding="utf-8")
    settings = (keystile.SOURCE / "src/config/settings.def").read_text(encoding="utf-8")
    defaults = dict(re.findall(r'"(delivery\.\w+)", NUMBER\([^)]*\), "(\d+)"', settings))
    assert defaults["delivery.timeout_ms"] == "15000" and "within 15 seconds" in text
    assert defaults["delivery.retry_first_ms"] == "10000" and "within 10 seconds" in text
    assert defaults["delivery.retry_for_s"] == str(3 * 86400) and "for three days" in text
    assert defaults["delivery.disable_after_h"] == str(5 * 24) and "for five days" in text
    assert defaults["delivery.keep_days"] == "30" and "kept for 30 days" in text
    assert signature(SECRET, "a", 1, b"").startswith("v1,")
