"""keystile webhooks listen and send: a receiver and a sender at a terminal, without a service."""
import base64
import json
import socket
import subprocess
import threading
import time

import pytest

import keystile
from listener import OTHER, SECRET, Listener, signature, signed_headers

BODY = "{\"type\":\"key.created\",\"data\":{\"name\":\"Gr\u00fc\u00dfe\"}}".encode()
SIGNING_KEY = "whsk_Awt1QKf6MxJCPA7MsYai71zeS2jpXE1LmQZXtB0yJyt6GYAraMUdmWvBBGoqt8PYiwOdagfErpxlC3MdDQNw5A=="
PUBLIC_KEY = "whpk_ehmAK2jFHZlrwQRqKrfD2IsDnWoHxK6cZQtzHQ0DcOQ="


def changed(headers, **members):
    return {**headers, **{name.replace("_", "-"): value for name, value in members.items()}}


# ---- what is refused ----

@pytest.mark.parametrize("code, change", [
    ("signature_mismatch", lambda h: changed(h, webhook_id="msg_2")),
    ("malformed", lambda h: changed(h, webhook_signature=h["webhook-signature"].replace("v1,", "v2,"))),
    ("signature_mismatch", lambda h: changed(h, webhook_signature=signature(OTHER, "msg_1", h["webhook-timestamp"], BODY))),
    ("timestamp_out_of_range", lambda h: signed_headers(BODY, stamp=int(time.time()) - 400)),
    ("timestamp_out_of_range", lambda h: signed_headers(BODY, stamp=int(time.time()) + 400)),
    ("header_missing", lambda h: {name: value for name, value in h.items() if name != "webhook-signature"}),
    ("header_missing", lambda h: {name: value for name, value in h.items() if name != "webhook-id"}),
])
def test_what_is_not_genuine_is_refused_and_not_shown(code, change):
    with Listener() as listener:
        answer = listener.post(BODY, change(signed_headers(BODY)))
        assert (answer.status, answer.code) == (401, code)
        event, = listener.wait(1)
        assert event.keys() == {"at", "verified", "code", "address"}
        assert event["verified"] is False and event["code"] == answer.code and event["address"] == "127.0.0.1"


def test_a_changed_body_is_refused():
    with Listener() as listener:
        assert listener.post(BODY + b" ", signed_headers(BODY)).code == "signature_mismatch"
        assert listener.post(b"", signed_headers(BODY)).status == 401
        assert listener.post(None, {}, method="GET").code == "header_missing"


@pytest.mark.parametrize("arguments, env, code, said", [
    ((), {}, 2, "--secret-file"),
    (("--port", "65536"), {}, 2, "--port"),
    (("--count", "0"), {}, 2, "--count"),
    (("--answer", "199"), {}, 2, "--answer"),
    (("--address", "localhost"), {}, 2, "--address"),
    (("--secret-file", "no/such/file"), {}, 1, "no/such/file"),
    ((), {"KEYSTILE_WEBHOOK_SECRETS": "  \n "}, 1, "no secret"),
    ((), {"KEYSTILE_WEBHOOK_SECRETS": "whsec_not*base64"}, 1, "cannot be used"),
    ((), {"KEYSTILE_WEBHOOK_SECRETS": SIGNING_KEY}, 1, "whpk_"),
    ((), {"KEYSTILE_WEBHOOK_SECRETS": " ".join([SECRET] * 17)}, 1, "at most 16"),
    (("--address", "192.0.2.1"), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 1, "192.0.2.1"),
])
def test_what_cannot_listen_says_why(arguments, env, code, said):
    for json_option in ((), ("--json",)):
        done = keystile.run("webhooks", "listen", *arguments, *json_option, env=env)
        assert (done.code, done.out) == (code, "") and said in done.err
        assert "not*base64" not in done.err and SECRET not in done.err
    assert said in done.problem["error"]


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = keystile.run("webhooks", "listen", "--port", taken.getsockname()[1], env={"KEYSTILE_WEBHOOK_SECRETS": SECRET})
    assert done.code == 1 and "in use" in done.err


def test_what_cannot_be_printed_is_no_success():
    command = [keystile.PROGRAM, "webhooks", "listen", "--port", "0", "--json"]
    with open("/dev/full", "w", encoding="utf-8") as full, subprocess.Popen(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=keystile.environment({"KEYSTILE_WEBHOOK_SECRETS": SECRET})) as process:
        url = json.loads(process.stderr.readline())["listening"]
        sent = keystile.run("webhooks", "send", url, env={"KEYSTILE_WEBHOOK_SECRETS": SECRET})
        assert sent.code == 1
        assert process.wait(keystile.PATIENCE_S) == 1 and "cannot be written" in process.stderr.read()


# ---- what is genuine ----

def test_a_genuine_event_is_printed_and_answered():
    with Listener() as listener:
        assert listener.post(BODY, signed_headers(BODY)).status == 204
        event, = listener.wait(1)
        assert event == {"at": event["at"], "verified": True, "code": "ok", "address": "127.0.0.1", "id": "msg_1", "again": False,
                         "body": json.loads(BODY)}


def test_one_that_comes_again_is_marked():
    with Listener() as listener:
        for message_id in ("msg_1", "msg_2", "msg_1"):
            assert listener.post(BODY, signed_headers(BODY, message_id=message_id)).status == 204
        assert [(e["id"], e["again"]) for e in listener.wait(3)] == [("msg_1", False), ("msg_2", False), ("msg_1", True)]


def test_either_secret_of_a_rotation_verifies():
    with Listener(secret=f"{OTHER} {SECRET}") as listener:
        for secrets in ([SECRET], [OTHER], [SECRET, OTHER]):
            assert listener.post(BODY, signed_headers(BODY, secrets)).status == 204
    with Listener(secret=OTHER) as listener:
        assert listener.post(BODY, signed_headers(BODY, [SECRET, OTHER])).status == 204
        assert listener.post(BODY, signed_headers(BODY, [SECRET])).status == 401


@pytest.mark.parametrize("body, shown", [
    (b"", {"body": None, "body_base64": ""}),
    (b"text\x1b[2J", {"body": None, "body_base64": base64.b64encode(b"text\x1b[2J").decode()}),
    (b"{\"a\":1,\"a\":2}", {"body": None, "body_base64": base64.b64encode(b"{\"a\":1,\"a\":2}").decode()}),
    (b"{\n \"a\": \"\\u001b[2J\"\n}", {"body": {"a": "\x1b[2J"}}),
])
def test_bodies_of_any_bytes(body, shown):
    with Listener() as listener:
        assert listener.post(body, signed_headers(body)).status == 204
        event, = listener.wait(1)
        assert {name: value for name, value in event.items() if name.startswith("body")} == shown


def test_a_large_body():
    body = json.dumps({"text": "x" * (4 << 20)}).encode()
    with Listener() as listener:
        assert listener.post(body, signed_headers(body)).status == 204
        assert len(listener.wait(1)[0]["body"]["text"]) == 4 << 20
        assert listener.post(b"x" * ((8 << 20) + 1), signed_headers(b"")).status == 413


def test_as_people_see_it():
    with Listener(json=False) as listener:
        listener.post(b"{\"type\":\"key.created\",\"note\":\"\\u001b[2J\"}", signed_headers(b"{\"type\":\"key.created\",\"note\":\"\\u001b[2J\"}"))
        lines = listener.wait(5)
        assert lines[0].endswith(" verified msg_1 key.created") and "\x1b" not in "".join(lines)
        assert [line.strip() for line in lines[1:4]] == ["{", "\"type\": \"key.created\",", "\"note\": \"\\u001B[2J\""]
        listener.post(BODY, {})
        assert "refused, from 127.0.0.1: header_missing" in listener.wait(6)[5]
        listener.post(b"no", signed_headers(b"no"))
        assert listener.wait(8)[7] == "2 bytes that are no JSON"


def test_it_ends_after_as_many_genuine_events_as_asked_for():
    with Listener("--count", 2) as listener:
        listener.post(BODY, {})
        listener.post(BODY, signed_headers(BODY))
        listener.post(BODY, {})
        assert listener.post(BODY, signed_headers(BODY, message_id="msg_2")).status == 204
        assert listener.end() == 0
        assert [e["verified"] for e in listener.wait(4)] == [False, True, False, True]


def test_an_answer_of_ones_own():
    with Listener("--answer", "503") as listener:
        assert listener.post(BODY, signed_headers(BODY)).status == 503
        assert listener.post(BODY, {}).status == 401
        assert [e["verified"] for e in listener.wait(2)] == [True, False]


def test_secrets_of_a_file(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{OTHER}\r\n\r\n{SECRET}\r\n", encoding="utf-8")
    with Listener("--secret-file", secrets, secret="whsec_" + "YWJj" * 8) as listener:
        assert listener.post(BODY, signed_headers(BODY)).status == 204
        assert listener.post(BODY, signed_headers(BODY, ["whsec_" + "YWJj" * 8])).status == 401


# ---- send ----

class Receiver:
    """A socket that takes one request and answers as it is told."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/in"
        self.answer = answer
        self.requests = 0

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                self.requests += 1
                connection.sendall(self.answer)

    def __enter__(self):
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(keystile.PATIENCE_S)


@pytest.mark.parametrize("arguments, env, code, said", [
    ((), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 2, "URL"),
    (("http://127.0.0.1:1/",), {}, 2, "--secret-file"),
    (("http://127.0.0.1:1/",), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 1, "no connection"),
    (("ftp://127.0.0.1/",), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 1, "URL"),
    (("http://127.0.0.1:1/",), {"KEYSTILE_WEBHOOK_SECRETS": PUBLIC_KEY}, 1, "whsk_"),
    (("http://127.0.0.1:1/",), {"KEYSTILE_WEBHOOK_SECRETS": "whsk_YWJj"}, 1, "64 bytes"),
    (("http://127.0.0.1:1/",), {"KEYSTILE_WEBHOOK_SECRETS": f"{SIGNING_KEY} {SIGNING_KEY}"}, 1, "one key"),
    (("http://127.0.0.1:1/", "--id", "x" * 80), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 2, "--id"),
    (("http://127.0.0.1:1/", "--body", "f", "--type", "t"), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 2, "--type"),
    (("http://127.0.0.1:1/", "--body", "no/such/file"), {"KEYSTILE_WEBHOOK_SECRETS": SECRET}, 1, "no/such/file"),
])
def test_what_cannot_be_sent_says_why(arguments, env, code, said):
    done = keystile.run("webhooks", "send", *arguments, env=env)
    assert (done.code, done.out) == (code, "") and said in done.err


@pytest.mark.parametrize("status, location", [(500, ""), (401, ""), (302, "http://127.0.0.1:1/"), (307, "http://127.0.0.1:1/")])
def test_what_is_not_taken_is_a_failure(status, location):
    answer = f"HTTP/1.1 {status} No\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with Receiver(answer) as receiver:
        done = keystile.run("webhooks", "send", receiver.url, "--json", env={"KEYSTILE_WEBHOOK_SECRETS": SECRET})
    assert done.code == 1 and done.json["status"] == status and receiver.requests == 1


def test_what_is_sent_is_genuine(tmp_path):
    event, secrets = tmp_path / "event", tmp_path / "secrets"
    event.write_bytes(BODY)
    secrets.write_text(SECRET, encoding="utf-8")
    with Listener() as listener:
        made = keystile.run("webhooks", "send", listener.url, "--secret-file", secrets, "--json")
        assert made.code == 0 and made.json["status"] == 204
        given = keystile.run("webhooks", "send", listener.url, "--secret-file", secrets, "--body", event, "--id", "msg_7")
        assert given.code == 0 and given.out.startswith("msg_7 was answered 204")
        first, second = listener.wait(2)
        assert first["id"] == made.json["id"] and first["body"]["type"] == "endpoint.test" and first["body"]["data"] == {}
        assert (second["id"], second["body"]) == ("msg_7", json.loads(BODY))
        wrong = keystile.run("webhooks", "send", listener.url, env={"KEYSTILE_WEBHOOK_SECRETS": OTHER})
        assert wrong.code == 1 and "401" in wrong.out


@pytest.mark.parametrize("signs, verifies", [(SIGNING_KEY, PUBLIC_KEY), (f"{SECRET}\n{SIGNING_KEY}", PUBLIC_KEY),
                                             (f"{SECRET}\n{SIGNING_KEY}", SECRET), (f"{OTHER}\n{SECRET}", SECRET),
                                             (SECRET, f"{PUBLIC_KEY} {SECRET}")])
def test_keys_of_both_kinds(signs, verifies):
    with Listener(secret=verifies) as listener:
        done = keystile.run("webhooks", "send", listener.url, "--type", "key.revoked", "--secret-file", "-", input=signs)
        assert done.code == 0, done
        assert listener.wait(1)[0]["body"]["type"] == "key.revoked"
