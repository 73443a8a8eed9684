"""Users for tests: invited, accepted, logged in, as people do it."""
import itertools

NUMBERS = itertools.count(1)
PASSWORD = "correct horse battery staple"


def invite(operator, organization, name="user"):
    """A new user of the organization who has set the password; (id, email)."""
    email = f"{name.replace(' ', '-')}-{next(NUMBERS)}@people.test"
    answer = operator.call("POST", "/v1/users", {"organization": organization, "email": email, "name": name})
    assert answer.status == 201, answer.body
    user = answer.json
    accepted = operator.call("POST", "/v1/invitations/accept",
                             {"token": user["invitation"]["token"], "password": PASSWORD})
    assert accepted.status in (200, 201, 204), accepted.body
    return user["id"], email


def member(operator, organization, role):
    """A new user of the organization who has `role` (None: no membership) on it; (id, email)."""
    user, email = invite(operator, organization, role or "nobody")
    if role:
        answer = operator.call("PUT", f"/v1/tenants/{organization}/members/{user}", {"role": role})
        assert answer.status == 200, answer.body
    return user, email


class Browser:
    """A client with the session's cookie, as the console has it."""

    def __init__(self, daemon, email):
        self.client = daemon.client()
        answer = self.client.call("POST", "/v1/session", {"email": email, "password": PASSWORD})
        assert answer.status == 200, answer.body
        self.headers = {"Cookie": answer.headers["Set-Cookie"].split(";")[0], "X-Keystile-Request": "1"}

    def call(self, method, path, body=None, headers=None):
        return self.client.call(method, path, body, {**self.headers, **(headers or {})})
