"""Users who log in: what tests of people share. Each person comes from an address of its own, so that one test's
failures make nobody else wait."""
import base64
import hashlib
import hmac
import itertools
import struct
import time

from api_service import Api, unique

PASSWORD = "xkcd staple fence"
ADDRESSES = itertools.count(1)


def fresh_address():
    number = next(ADDRESSES)
    return f"198.18.{number // 250}.{number % 250 + 1}"


def from_address(daemon, address=None, **headers):
    """Whoever calls from there, without a credential."""
    return Api(daemon, headers={"X-Forwarded-For": address or fresh_address(), **headers})


def totp(secret, step=None, offset=0):
    """The code of RFC 6238 for a secret in base32."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    counter = (int(time.time()) // 30 if step is None else step) + offset
    mac = hmac.new(key, struct.pack(">Q", counter), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


class Person:
    """A user of an organization who has accepted an invitation."""

    def __init__(self, world, organization, password=PASSWORD, accept=True):
        self.world = world
        self.email = unique("person") + "@people.test"
        self.password = password
        self.address = fresh_address()
        made = world.operator.post("/v1/users", {"organization": organization, "email": self.email}).json
        self.id, self.invitation, self.personal = made["id"], made["invitation"]["token"], made["personal"]
        if accept:
            self.accept(self.invitation, password)

    @property
    def outside(self):
        return from_address(self.world.daemon, self.address)

    def accept(self, token, password, **more):
        return self.outside.post("/v1/invitations/accept", {"token": token, "password": password}, **{"expect": 200, **more})

    def role(self, tenant, role):
        self.world.operator.put(f"/v1/tenants/{tenant}/members/{self.id}", {"role": role})
        return self

    def login(self, expect=200, headers=None, **members):
        return self.outside.post("/v1/session", {"email": self.email, "password": self.password, **members}, expect=expect,
                                 headers=headers)

    def session(self, **members):
        """A caller who is logged in, as the console is."""
        answer = self.login(**members)
        return Session(self, cookie_of(answer), answer.json["session"]["id"])


class Session(Api):
    def __init__(self, person, cookie, session, headers=None):
        super().__init__(person.world.daemon, headers={"Cookie": cookie, "X-Keystile-Request": "1",
                                                       "X-Forwarded-For": person.address, **(headers or {})})
        self.person, self.cookie, self.id = person, cookie, session

    def at(self, tenant):
        return Session(self.person, self.cookie, self.id, {"X-Tenant-Id": tenant})


def cookie_of(answer):
    """The cookie that the answer sets, without its attributes."""
    return answer.headers["Set-Cookie"].split(";")[0]
