"""What tests of intake links share: a service with providers, links of them, and whoever opens these."""
import pathlib
import sqlite3
import sys
import urllib.parse

import keystile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

from api_service import Api, CONTRACT, World, eventually, pointers, same_problem, unique  # noqa: E402

SID = "AC0123456789abcdef0123456789abcdef"
AUTH_TOKEN = "4f1c0d9e8b7a6f5e4d3c2b1a09182736"
CANARY = "c0ffee5ec2e7" + "0" * 19 + "1"
PEM = ("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
       "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
       "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n")
SCOPES = ["keystile:providers:read", "keystile:providers:write", "keystile:links:read", "keystile:links:write"]


def provider(api, tenant, platform="twilio", **members):
    return api.post("/v1/providers", {"tenant": tenant, "platform": platform, "name": unique("line"), **members}).json["id"]


def link(api, of, field="auth_token", expires_in_s=3600, **members):
    return api.post(f"/v1/providers/{of}/fields/{field}/links", {"expires_in_s": expires_in_s, **members}).json


def path_of(made):
    return urllib.parse.urlsplit(made["url"]).path


def token_of(made):
    return path_of(made).rsplit("/", 1)[1]


def multipart(*parts):
    """(headers, body) as browsers write it. A part: (name, value) or (name, value, file name)."""
    boundary = "----WebKitFormBoundaryA1b2C3d4E5f6G7h8"
    body = b""
    for name, value, *file in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if file:
            body += f'; filename="{file[0]}"\r\nContent-Type: application/octet-stream'.encode()
        body += b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body + f"--{boundary}--\r\n".encode()


def urlencoded(**values):
    return {"Content-Type": "application/x-www-form-urlencoded"}, urllib.parse.urlencode(values)


class Visitor:
    """Somebody without any credential."""

    def __init__(self, daemon):
        self.daemon = daemon

    def call(self, method, path, body=None, headers=None, expect=None):
        answer = self.daemon.call(method, path, body, headers)
        CONTRACT.check_answer(method, path, answer)
        if expect is not None:
            assert answer.status == expect, f"{method} -> {answer.status} {answer.body[-1500:]}"
        return answer

    def look(self, made, expect=200):
        return self.call("GET", path_of(made), expect=expect)

    def enter(self, made, value, expect=None, headers=None):
        sent, body = multipart(("value", value))
        return self.call("POST", path_of(made), body, {**sent, **(headers or {})}, expect=expect)


def versions(daemon, provider_id, field="auth_token"):
    """The versions of a field that are in the store."""
    number = 0
    for c in provider_id[4:]:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(c)
    with sqlite3.connect(f"file:{daemon.data / 'keystile.db'}?mode=ro", uri=True) as db:
        return [row[0] for row in db.execute("SELECT version FROM field_versions WHERE provider = ? AND field = ? ORDER BY version",
                                             (number, field))]


def change_store(daemon, statement, *values):
    """What time would do, or somebody who can edit the store."""
    db = sqlite3.connect(daemon.data / "keystile.db", timeout=keystile.PATIENCE_S)
    try:
        with db:
            db.execute(statement, values)
    finally:
        db.close()


__all__ = ["AUTH_TOKEN", "Api", "CANARY", "PEM", "SCOPES", "SID", "Visitor", "World", "change_store", "eventually", "keystile",
           "link", "multipart", "path_of", "pointers", "provider", "same_problem", "token_of", "unique", "urlencoded", "versions"]
