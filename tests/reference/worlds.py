#!/usr/bin/python3
"""Random worlds and requests, the same for the same seed.

A world is a policy, a tenant tree, users and keys; README.md has its form.
Requests start as ones that should be allowed and are then spoilt in one way
(or left alone), so that every step of the decision is reached, from both
sides of each of its boundaries.

    for world, requests in generate(seed, cases, requests_per_world): ...
"""

import base64
import ipaddress
import json
import random
import sys
import zlib

from worlds_policy import BAD_METHODS, BUILT_IN_ROLES, LITERALS, METHODS, PolicyMaker
from worlds_sessions import SessionMaker

ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
ID_PREFIX = {"operator": "opr", "partner": "prt", "organization": "org", "sub_entity": "sub",
             "project": "prj", "personal": "per", "user": "usr", "key": "key", "session": "ses", "issuer": "iss"}
HEX_DIGITS = "0123456789abcdef"

# 2026-09-21 or so; the worlds' clocks start here.
BASE_MS = 1_790_000_000_000

WORDS = LITERALS + ["0", "42", "zz", "...", "a.b", "%41", "%20", "%c3%a9", "caf\xc3\xa9", "%7Bid%7D",
                    "{id}", "**", "*", "@", "a=b&c", "%F0%9F%98%80", "%3F", "%23", "%25", ":", "+"]
PREFIXES = ["ks", "ks_test", "revdesk", "a", "abcdefghijklmnop", "acme_live_v2", "k5",
            "a23456789012345_b234567890123456", "x_1_2_3", "d0_deadbeef"]
FOREIGN_TEXT = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

HOSTILE = ["%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%3b", "%3B", "%00", "%0a", "%1f", "%1F", "%7f", "%7F",
           "%2541", "%252e", "%25%34%31", "%254%31", "%25%341", "%2525", "%", "%4", "%zz", "%4g", "%g4", "%%41",
           "\\", ";", ";a=b", " ", "\x00", "\x01", "\t", "\n", "\x1f", "\x7f", "\x80", "\xbf", "\xff", "\xc3",
           "\xc3(", "%c3", "%C0%AF", "\xc0\xaf", "%c1%bf", "%E0%80%AF", "%ED%A0%80", "%ed%bf%bf", "\xed\xa0\x80",
           "%F4%90%80%80", "%f0%80%80%af", "%F5%80%80%80", "%e2%82", "%f0%9f%98", "%80", "%FF", "#", "#x",
           "/./", "/../", "//", "/.", "/..", "/..;/", "/.%2e/", "/%2e%2e/"]
# These look odd and are harmless.
ODD = ["%20", "%c3%a9", "\xc3\xa9", "%C3\xa9", "\xc3%a9", "%ed%9f%bf", "%EE%80%80", "%f4%8f%bf%bf",
       "%F0%90%80%80", "%e0%a0%80", "%df%bf", "%c2%80", "%25", "%25g1", "%254", "%25%67", "%3f", "%23", "%3a", "...",
       "..a", "a..", ".a", "a.", "%61", "%7e", "%21", "*", "%2a", "%2b", "?", "?a/../b", "?#%", "?%00\x01;\\//", "/",
       "%ef%bf%bf", "%EF%BB%BF"]


def encode_id(kind, number):
    digits = []
    for _ in range(13):
        digits.append(ID_DIGITS[number & 31])
        number >>= 5
    return ID_PREFIX[kind] + "_" + "".join(reversed(digits))


class Maker(PolicyMaker, SessionMaker):
    """Makes one world, and then requests for it."""

    def __init__(self, rng):
        self.rng = rng
        self.numbers = set()
        self.clock = BASE_MS + self.below(1000)
        self.make_policy()
        self.make_tenants()
        self.make_users()
        self.make_keys()
        self.make_sessions()
        self.prepare_requests()

    # -- small helpers, quicker than random's own

    def below(self, n):
        return int(self.rng.random() * n)

    def pick(self, things):
        return things[int(self.rng.random() * len(things))]

    def chance(self, p):
        return self.rng.random() < p

    def some(self, things, low, high):
        return self.rng.sample(things, min(len(things), low + self.below(high - low + 1)))

    def new_id(self, kind):
        while True:
            if self.chance(0.1):
                # Corners: tiny, huge, around the sign bit and byte borders.
                number = self.pick([1, 0xFF, 1 << 32, (1 << 63) - 2, 1 << 63, (1 << 64) - 300]) + self.below(300)
                number &= (1 << 64) - 1
            else:
                number = self.rng.getrandbits(64)
            if number != 0 and number not in self.numbers:
                self.numbers.add(number)
                return encode_id(kind, number)

    # -- tenants

    def make_tenants(self):
        self.tenants = []
        self.by_id = {}
        self.children = {}
        self.trouble = self.pick([0.0, 0.02, 0.08])
        operator = self.add_tenant("operator", None)
        if self.chance(0.01):
            operator["suspended"] = True
        partners = [self.add_tenant("partner", operator) for _ in range(self.pick([0, 1, 1, 2, 3]))]
        for _ in range(self.pick([1, 2, 3, 5, 8])):
            organization = self.add_tenant("organization", self.pick(partners + [operator] + partners))
            inner = [organization]
            depth = {organization["id"]: 0}
            for _ in range(self.pick([0, 1, 3, 6])):
                self.add_sub_entity(self.pick(inner), inner, depth)
            if self.chance(0.3):
                # One chain, as deep as it may go.
                while depth[inner[-1]["id"]] < 8:
                    self.add_sub_entity(inner[-1], inner, depth)
            for _ in range(self.pick([0, 1, 2, 4])):
                self.add_tenant("project", self.pick(inner))
            if len(inner) > 5:
                self.add_tenant("project", inner[-1])

    def add_sub_entity(self, parent, inner, depth):
        if depth[parent["id"]] < 8:
            tenant = self.add_tenant("sub_entity", parent)
            depth[tenant["id"]] = depth[parent["id"]] + 1
            inner.append(tenant)

    def add_tenant(self, kind, parent):
        number = len(self.tenants)
        tenant = {"id": self.new_id(kind), "kind": kind, "parent": parent["id"] if parent else None, "slug": None,
                  "suspended": False, "deleted": False}
        if kind == "organization" and self.chance(0.8):
            tenant["slug"] = self.pick(["acme", "blue", "x", "a-b"]) + str(number)
        if parent:
            tenant["suspended"] = self.chance(self.trouble)
            tenant["deleted"] = self.chance(self.trouble)
            self.children[parent["id"]].append(tenant)
        self.tenants.append(tenant)
        self.by_id[tenant["id"]] = tenant
        self.children[tenant["id"]] = []
        return tenant

    def at_and_below(self, tenant):
        found = [tenant]
        for child in self.children[tenant["id"]]:
            found += self.at_and_below(child)
        return found

    def is_alive(self, tenant):
        if tenant["suspended"] or tenant["deleted"]:
            return False
        return tenant["parent"] is None or self.is_alive(self.by_id[tenant["parent"]])

    # -- users

    def make_users(self):
        self.users = []
        joinable = list(self.tenants)
        self.organizations = [tenant for tenant in self.tenants if tenant["kind"] == "organization"]
        for _ in range(self.pick([1, 3, 5])):
            # The operator's own people have no organization.
            home = self.tenants[0] if self.chance(0.15) else self.pick(self.organizations)
            personal = self.add_tenant("personal", home)
            near = [tenant for tenant in self.at_and_below(home) if tenant["kind"] != "personal"]
            members = self.some(near, 0, 3)
            if self.chance(0.3):
                members += self.some(joinable, 1, 3)
            if self.chance(0.05):
                members += self.some(joinable, 10, 40)
            memberships = []
            for tenant in {tenant["id"]: tenant for tenant in members}.values():
                role = self.pick(BUILT_IN_ROLES + ["administrator", "gone"] + list(self.roles))
                # In the service the administrator alone reaches below; the decision goes by what it is told.
                below = role == "administrator" if self.chance(0.8) else self.chance(0.5)
                memberships.append({"tenant": tenant["id"], "role": role, "below": below})
            self.users.append({"id": self.new_id("user"), "personal": personal["id"], "disabled": self.chance(0.1),
                               "memberships": memberships})

    # -- keys

    def make_keys(self):
        self.keys = []
        self.tokens = set()
        self.foreign_tokens = self.chance(0.4)
        holders = []
        for tenant in self.tenants:
            if tenant["kind"] != "personal":
                holders += [(tenant, None)] * (2 if self.chance(0.4) else 1)
        holders = self.some(holders, 8, 30)
        for user in self.users:
            holders += [(self.by_id[user["personal"]], user)] * (1 + self.below(2))
        for tenant, user in holders:
            self.add_key(tenant, user)
        self.foreign_tokens = any(key.get("foreign") for key in self.keys)
        for key in self.keys:
            key.pop("foreign", None)

    def make_own_token(self):
        token = self.pick(PREFIXES) + "_" + "%032x" % self.rng.getrandbits(128)
        if self.chance(0.35):
            token += "_%08x" % zlib.crc32(token.encode("ascii"))
        return token

    def make_foreign_text(self):
        length = self.pick([8, 9, 20, 33, 40, 64, 512])
        return "".join(self.pick(FOREIGN_TEXT) for _ in range(length))

    def add_key(self, tenant, user):
        token = self.make_own_token()
        foreign = False
        if self.foreign_tokens and self.chance(0.3):
            # The first byte keeps it from looking like a JWT or one of our own.
            token = self.pick("STA-=") + self.make_foreign_text()[1:]
            foreign = True
        if token in self.tokens:
            return
        self.tokens.add(token)
        binding = "user" if user else tenant["kind"]
        kind = {"partner": "partner", "operator": self.pick(["tenant", "runtime", "runtime"])}.get(binding, "tenant")
        expires = None
        if self.chance(0.4):
            expires = self.clock + self.pick([1, 10, 60, 86_400_000, 86_400_000, 400 * 86_400_000]) * (1 + self.below(900))
        rotated = expires is not None and self.chance(0.25)
        if self.chance(0.12):
            expires = self.clock - self.pick([0, 1, 1000, 86_400_000])
            rotated = self.chance(0.35)
        limit = None
        if self.chance(0.25):
            limit = {"requests": self.pick([1, 2, 3, 7, 10, 60, 600, 100_000]),
                     "window_s": self.pick([1, 1, 1, 2, 2, 10, 60, 86_400])}
        scopes = list(self.scope_names)
        if self.chance(0.3):
            scopes = self.some(scopes, 0, len(scopes))
        if self.chance(0.03):
            scopes = []
        if self.chance(0.05):
            scopes = scopes + ["legacy:read"]  # gone from the policy since
        self.rng.shuffle(scopes)
        addresses = []
        if self.chance(0.2):
            addresses = [self.make_network() for _ in range(self.pick([1, 1, 2, 5]))]
        key = {"id": self.new_id("key"), "token": token, "kind": kind, "binding": binding, "tenant": tenant["id"],
               "user": user["id"] if user else None, "scopes": scopes,
               "environment": "live" if self.chance(0.65) else "sandbox", "addresses": addresses, "rate_limit": limit,
               "expires_ms": expires, "rotated_out": rotated, "revoked": self.chance(0.05)}
        if foreign:
            key["foreign"] = True
        self.keys.append(key)

    def make_network(self):
        if self.chance(0.6):
            length = self.pick([0, 1, 8, 12, 20, 24, 24, 31, 32])
            bits = self.rng.getrandbits(32) >> (32 - length) << (32 - length)
            if self.chance(0.1):
                return "::ffff:" + str(ipaddress.IPv4Address(bits)) + "/" + str(96 + length)
            return str(ipaddress.IPv4Address(bits)) + "/" + str(length)
        length = self.pick([0, 3, 32, 48, 64, 64, 65, 100, 127, 128])
        bits = (self.rng.getrandbits(125) | 1 << 125) >> (128 - length) << (128 - length)
        if bits >> 32 == 0xFFFF:
            bits = 0
        return str(ipaddress.IPv6Address(bits)) + "/" + str(length)

    # -- the world as the protocol has it

    def world(self):
        return {"policy": self.policy_text, "domain": self.domain, "tenants": self.tenants, "users": self.users,
                "credential_headers": [{"name": name, "kind": kind} for name, kind in self.headers],
                "foreign_tokens": self.foreign_tokens, "keys": self.keys, "sessions": self.sessions,
                "issuers": self.issuers}

    # -- requests

    def prepare_requests(self):
        self.domain = self.pick(["keystile.test"] * 12 + ["Voice.Example.COM"] * 4 + ["x"] * 3 + [""])
        self.headers = self.pick([[], [("X-Partner-Key", "partner")],
                                  [("X-Partner-Key", "partner"), ("X-Tenant-Key", "tenant"), ("X-Runtime", "runtime")],
                                  [("x-session", "session"), ("X-Key", "tenant")], [("X-Cookie", "session")],
                                  [("X-Cookie", "session"), ("X-Partner-Key", "partner")]])
        users = {user["id"]: user for user in self.users}
        self.plans = []       # every (family, route's parts, method)
        for family in self.families:
            methods = [method for method in family["entries"] if method != "*"]
            if "*" in family["entries"]:
                methods = list(dict.fromkeys(methods + METHODS))
            for route in family["routes"]:
                for method in methods:
                    self.plans.append((family, route.split("/")[1:], method))
        self.key_plans = {}   # those that a key has what it takes for
        self.key_sees = {}    # tenants that it can probably name
        for key in self.keys + self.session_holders + self.issuer_holders:
            own = self.by_id[key["tenant"]]
            plans = []
            for plan in self.plans:
                family = plan[0]
                needed = family["entries"].get(plan[2]) or family["entries"]["*"]
                if (key["kind"] in family["kinds"] and key["environment"] in (family["environments"] or ["live", "sandbox"])
                        and all(scope in key["scopes"] for scope in needed)):
                    plans.append(plan)
            self.key_plans[key["id"]] = plans
            if key["binding"] == "user":
                sees = [own]
                for membership in users[key["user"]]["memberships"]:
                    root = self.by_id[membership["tenant"]]
                    sees += self.at_and_below(root) if membership["below"] else [root]
            elif key["binding"] == "partner":
                sees = self.children[own["id"]] or [own]
            else:
                sees = self.at_and_below(own)
            self.key_sees[key["id"]] = [tenant["id"] for tenant in sees]
        def are_sound(holders):
            sound = []
            for key in holders:
                if key["revoked"] or (key["expires_ms"] is not None and key["expires_ms"] <= self.clock + 10_000):
                    continue
                if key["user"] and users[key["user"]]["disabled"]:
                    continue
                if self.key_plans[key["id"]] and self.is_alive(self.by_id[key["tenant"]]):
                    sound.append(key)
            return sound

        sound = are_sound(self.keys)
        self.sound_keys = sound or self.keys
        self.sound_sessions = are_sound(self.session_holders) or self.session_holders
        self.sound_issuers = are_sound(self.issuer_holders) or self.issuer_holders
        self.session_headers = [name for name, kind in self.headers if kind == "session"]
        self.limited_keys = [key for key in sound if key["rate_limit"]]
        self.expiring_keys = [key for key in self.keys if key["expires_ms"] is not None and not key["revoked"]]
        self.project_keys = [key for key in self.sound_keys if key["binding"] == "project"]
        self.fenced_keys = [key for key in self.sound_keys if key["addresses"]]
        self.partner_keys = [key for key in self.sound_keys if key["kind"] == "partner"]

    def requests(self, count):
        made = []
        while len(made) < count:
            if self.limited_keys and self.chance(0.04):
                self.burst(made)
            else:
                made.append(self.one_request())
        return made[:count]

    def burst(self, made):
        """Many in a row against one limited key, around the instants where one more becomes due."""
        key = self.pick(self.limited_keys)
        limit = key["rate_limit"]
        window_ms = limit["window_s"] * 1000
        interval_ms = window_ms // limit["requests"]
        request = self.sound_request(key)
        steps = [0, 0, 0, 1, interval_ms, max(0, interval_ms - 1), interval_ms + 1, -1]
        if self.chance(0.1):
            steps += [window_ms, window_ms - 1, -interval_ms]
        if interval_ms < 10:
            steps = [0]
        for _ in range(self.pick([2, 4, 8, 12, 16])):
            request = dict(request)
            request["now_ms"] += self.pick(steps)
            made.append(request)
        if interval_ms < 2000:
            self.clock = max(self.clock, request["now_ms"])

    def one_request(self):
        roll = self.rng.random()
        if roll < 0.15 and self.session_holders:
            return self.session_request()
        if roll < 0.3:
            return self.jwt_request()
        roll = (roll - 0.3) / 0.7
        if roll < 0.68:
            key = self.pick(self.sound_keys)
        elif roll < 0.76:
            key = self.pick(self.keys)
        elif roll < 0.84 and self.project_keys:
            return self.basic_request(self.pick(self.project_keys))
        elif roll < 0.89 and self.fenced_keys:
            key = self.pick(self.fenced_keys)
            request = self.sound_request(key)
            if self.chance(0.6):
                self.spoil_address(key, request)
            return request
        elif roll < 0.93 and self.expiring_keys:
            return self.expiring_request(self.pick(self.expiring_keys))
        elif roll < 0.96 and self.partner_keys:
            key = self.pick(self.partner_keys)
        else:
            key = self.pick(self.sound_keys)
        request = self.sound_request(key)
        roll = self.rng.random()
        if roll < 0.13:
            self.spoil_credential(key, request)
        elif roll < 0.26:
            self.spoil_path(request)
        elif roll < 0.31:
            request["method"] = self.pick(BAD_METHODS)
        elif roll < 0.45:
            self.spoil_tenant(key, request)
        elif roll < 0.47:
            self.spoil_credential(key, request)
            self.spoil_path(request)
            self.spoil_tenant(key, request)
        return request

    def sound_request(self, key):
        plans = self.key_plans[key["id"]]
        if not plans or self.chance(0.12):
            plans = self.plans
        family, route, method = self.pick(plans)
        self.clock += self.pick([0, 0, 0, 1, 1, 7, 40])
        rule = family["tenant_header"]
        tenants = []
        if rule == "refused":
            named = self.chance(0.1)
        elif rule == "required" or (rule == "required_for_partner" and key["kind"] == "partner"):
            named = self.chance(0.85)
        else:
            named = self.chance(0.4)
        if named:
            tenants = [self.pick(self.key_sees[key["id"]])]
        self.last_plan = (family, method)
        return {"headers": [["Authorization", "Bearer " + (key["token"] or "?")]], "tenant_headers": tenants,
                "assertion": None, "method": method,
                "path": self.make_path(route), "host": self.space_host(key) if self.chance(0.1) else None,
                "address": self.make_address(key), "now_ms": self.clock}

    def make_path(self, route):
        path = ""
        for part in route:
            if part == "**":
                for _ in range(self.pick([0, 0, 1, 2, 3])):
                    path += "/" + self.pick(WORDS)
                if self.chance(0.15):
                    path += "/"
            elif part.startswith("{"):
                path += "/" + self.pick(WORDS)
            else:
                path += "/" + part.encode("utf-8").decode("latin-1")
        return path or "/"

    def make_address(self, key):
        if not key["addresses"]:
            return self.pick([None, "203.0.113.7", "2001:db8::1"])
        network = self.pick(key["addresses"])
        return self.address_in(network)

    def address_in(self, network):
        base, length = network.split("/")
        address = ipaddress.ip_address(base)
        spare = address.max_prefixlen - int(length)
        number = int(address) | self.pick([0, (1 << spare) - 1, self.rng.getrandbits(spare) if spare else 0])
        if address.version == 4:
            text = str(ipaddress.IPv4Address(number))
            return "::ffff:" + text if self.chance(0.25) else text
        return self.write_ipv6(number)

    def write_ipv6(self, number):
        address = ipaddress.IPv6Address(number)
        style = self.below(4)
        if style == 0:
            return address.exploded
        if style == 1:
            return str(address).upper()
        return str(address)

    def space_host(self, key):
        tenant = self.by_id[key["tenant"]]
        while tenant["kind"] != "organization":
            if tenant["parent"] is None:
                return "keystile.test"
            tenant = self.by_id[tenant["parent"]]
        return (tenant["slug"] or "") + "." + self.domain

    # -- Basic

    def basic(self, text, scheme="Basic "):
        return [["Authorization", scheme + base64.b64encode(text.encode("latin-1")).decode("ascii")]]

    def basic_request(self, key):
        request = self.sound_request(key)
        host = self.space_host(key)
        user = key["tenant"]
        token = key["token"]
        request["host"] = host
        request["headers"] = self.basic(user + ":" + token)
        roll = self.below(30)
        if roll < 6:
            request["host"] = self.pick([host + ":443", host + ".", host + ".:8443", host + ":", host.upper(),
                                         host.swapcase() + ":1"])
        elif roll < 12:
            request["host"] = self.pick([
                None, "", "x." + host, host + ".x", host + ":x", host + "..", host + ":443.", host[1:], host[:-1],
                " " + host, host + " ", self.domain, "." + self.domain, host + "\x00", host.replace(".", "-", 1),
                host + ":80:80", host + ":8\xb9", "[" + host + "]", ":443", ".", host.replace("e", "\xe9", 1)])
        elif roll == 12:
            other = self.pick(self.tenants)
            request["host"] = (other["slug"] or "nobody") + "." + self.domain
        elif roll == 13:
            request["headers"] = self.basic(self.near_miss(user) + ":" + token)
        elif roll == 14:
            request["headers"] = self.basic(self.pick(self.tenants)["id"] + ":" + token)
        elif roll == 15:
            other = self.pick(self.keys)
            request["headers"] = self.basic(user + ":" + other["token"])
        elif roll == 16:
            other = self.pick(self.keys)
            request["headers"] = self.basic(other["tenant"] + ":" + other["token"])
            request["host"] = self.space_host(other)
        elif roll == 17:
            request["headers"] = self.basic(user + ":" + token, self.pick(["basic ", "BASIC   ", "bAsIc ", "Basic\t", "Basic"]))
        elif roll == 18:
            request["headers"] = self.basic(self.pick([
                user + token, ":" + token, user + ":", "", ":", user + "::" + token, user + ":" + token + ":",
                user + "\x00:" + token, user + "\x7f:" + token, user + "\x1f:" + token, user + "\xff:" + token,
                user + "\xc3\xa9:" + token, user + "\xc0\xaf:" + token, user + "\xc2\x85:" + token, user + ": " + token,
                user + ":" + token + "\n", user + ":eyJh.eyJi.c2ln", user + ":" + self.make_own_token()]))
        elif roll == 19:
            encoded = self.basic(user + ":" + token)[0][1]
            request["headers"] = [["Authorization", self.pick([
                encoded.rstrip("="), encoded + "=", encoded + "====", encoded[:-1], encoded + " ", encoded + "\n",
                encoded[:20] + " " + encoded[20:], encoded[:20] + "-" + encoded[21:], "Basic ====", "Basic =",
                self.loose_bits(encoded), encoded[:22] + "=" + encoded[22:], encoded + "AAAA"])]]
        elif roll == 20:
            # Just at the longest that is read.
            length = 768 - len(token) - 1 + self.pick([-1, 0, 1, 2, 3])
            request["headers"] = self.basic("u" * length + ":" + token)
        elif roll == 21:
            self.spoil_path(request)
        elif roll == 22:
            self.spoil_tenant(key, request)
        return request

    def loose_bits(self, encoded):
        """The same bytes in another base64 text, where there are unused bits."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        bare = encoded.rstrip("=")
        if bare == encoded:
            return encoded[:-4] + "AA=="
        return bare[:-1] + alphabet[alphabet.index(bare[-1]) ^ 1] + "=" * (len(encoded) - len(bare))

    # -- ways to spoil a request

    def spoil_credential(self, key, request):
        token = key["token"]
        bearer = ["Authorization", "Bearer " + token]
        what = self.below(17)
        if what == 0:
            headers = []
        elif what == 1:
            headers = self.pick([[["Authorization", ""]], [["X-API-Key", ""], ["Authorization", ""]],
                                 [bearer, ["X-API-Key", ""]], [["authorization", ""], bearer],
                                 [["X-API-Key", ""], ["X-API-Key", token]]])
        elif what == 2:
            headers = self.pick([[bearer, bearer], [bearer, ["X-API-Key", token]], [["X-API-Key", "?"], bearer],
                                 [["X-API-Key", token], ["x-api-key", token]],
                                 [["X-API-Key", " "], bearer]])
            if self.headers and self.chance(0.5):
                headers = [[self.headers[0][0], token], self.pick([bearer, ["X-API-Key", token]])]
        elif what in (3, 4):
            headers = [["Authorization", self.pick(["bearer ", "BEARER ", "bEaReR ", "Bearer    "]) + token]]
        elif what == 5:
            headers = [["Authorization", self.pick([
                "Bearer", "Bearer ", "Bearer   ", "Bearer\t" + token, " Bearer " + token, "Bearer: " + token,
                "Token " + token, "Digest " + token, token, "Bearer " + token + " ", "Bearer " + token + " x",
                "Bearer \t" + token, "Bearer," + token, "Bearer " + token + ",", "Bea rer " + token,
                "Bearer Bearer " + token, "Negotiate", "Basic " + token, "Basic", "Bearer " + token + "\x00",
                "Bearer " + token + "\xe9", "\xe2earer " + token, "Bearer\xa0" + token])]]
        elif what in (6, 7):
            headers = [[self.pick(["X-API-Key", "x-api-key", "X-Api-Key"]), token]]
        elif what in (8, 9) and self.headers:
            name, kind = self.pick(self.headers)
            if self.chance(0.5):
                for each, kind in self.headers:
                    if kind == key["kind"]:
                        name = each
            headers = [[self.pick([name, name.lower(), name.upper()]), token]]
        elif what == 10:
            place = self.below(len(token))
            headers = [["Authorization", "Bearer " + token[:place] + self.pick("0123456789abcdef_A.gG- ") + token[place + 1:]]]
        elif what == 11:
            other = self.make_own_token()
            headers = [["Authorization", "Bearer " + self.pick([
                other, token.upper(), token[:-1], token + "0", token[1:], token[:-9], other + "_00000000",
                other + "_%08x" % zlib.crc32(other.encode("ascii")),
                other + "_%08X" % zlib.crc32(other.encode("ascii")),
                token + "_%08x" % zlib.crc32(token.encode("ascii")), token.replace("_", "__", 1),
                "_" + token, "9" + token, "a" * 17 + "_" + "0" * 32, "a_" + "b" * 17 + "_" + "0" * 32,
                "a234567890123456_b2345678901234567_" + "0" * 32, "a234567890123456_b234567890123456_" + "0" * 32,
                "a234567890123456_b23456789012345_" + "0" * 32,
                "a__" + "0" * 32, "0" * 32, "_" + "0" * 32, "ks-" + "0" * 32, "a_" + "0" * 32 + "_" + "0" * 32])]]
        elif what == 12:
            text = self.pick(["eyJ.a.b", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
                              "eyJ..b", "eyJ.a", "eyJ.a.b.c", ".a.b", "abc.def.ghi", "eyJ_-.a-_.b", "eyJ=.a.b", "eyJ+.a.b",
                              "EYJ.aaaa.bbbb", "eyJ.a.b=="])
            headers = [self.pick([["Authorization", "Bearer " + text], ["X-API-Key", text]])]
            if self.chance(0.2):
                headers = self.basic("x:" + text)
        elif what == 13:
            text = self.make_foreign_text()
            headers = [["Authorization", "Bearer " + self.pick([text, text + "!", text[:7], "A" * 512, "A" * 513, "A" * 7,
                                                                "A" * 8, "=" * 8, text + ","])]]
        elif what == 14:
            headers = [["X-API-Key", self.pick(["Bearer " + token, token + " ", " " + token, " ", "\t"])]]
        elif what == 15:
            headers = self.basic(self.pick(["", "x", key["tenant"]]) + ":" + token)
        else:
            headers = [["Authorization", "Bearer " + self.pick(self.keys)["token"]]]
        request["headers"] = headers

    def spoil_path(self, request):
        path = request["path"]
        what = self.below(12)
        place = self.below(len(path) + 1)
        if what < 4:
            path = path[:place] + self.pick(HOSTILE) + path[place:]
        elif what < 6:
            path = path[:place] + self.pick(ODD) + path[place:]
        elif what == 6:
            # The same path, escaped where nothing needs it.
            i = 1 + self.below(max(1, len(path) - 1))
            if i < len(path) and path[i] not in "/%.":
                path = path[:i] + self.pick(["%%%02x", "%%%02X"]) % ord(path[i]) + path[i + 1:]
        elif what == 7:
            length = self.pick([2047, 2048, 2049])
            if not path.endswith("/"):
                path += "/"
            path += "a" * (length - len(path)) + self.pick(["", "", "?" + "q" * 3000])
        elif what == 8:
            wanted = self.pick([63, 64, 65])
            path = path.rstrip("/")
            path += "/s" * (wanted - path.count("/"))
            if self.chance(0.3):
                path = path[:-1]
        elif what == 9:
            path = self.pick(["", "/", "*", path[1:], "//", "?", "/?", "http://x" + path, path + "/", path + "//",
                              "/" + path, path + "?", path + "#", path + "?#", path + "/.", path + "/..", "/." + path,
                              path.swapcase(), path + "/?x", path.rsplit("/", 1)[0] or "/"])
        elif what == 10:
            path += "?" + self.pick(HOSTILE + ODD)
        else:
            path = "/" + "/".join(self.pick(WORDS) for _ in range(1 + self.below(6)))
        request["path"] = path

    def near_miss(self, text):
        prefix, digits = text.split("_")
        first = ID_DIGITS.index(digits[0])
        place = self.below(13)
        return self.pick([
            text.upper(), prefix.upper() + "_" + digits, prefix + "_" + digits.upper(), prefix + "-" + digits,
            self.pick(["opr", "prt", "org", "sub", "prj", "per", "usr", "key", "xyz"]) + "_" + digits,
            # The same low 64 bits, one bit too many.
            prefix + "_" + ID_DIGITS[first + 16] + digits[1:],
            prefix + "_" + digits[:place] + self.pick(ID_DIGITS + "ilouILOU") + digits[place + 1:],
            text[:-1], text + "0", " " + text, text + " ", digits, prefix + "_", prefix + "_0" + digits, text + "\x00",
            text.replace("0", "o"), text.replace("1", "l"), text.replace("1", "i"), text + "," + text, "_" + digits,
            prefix + "_" + "0" * 13, text[:-1] + "\xe9"])

    def spoil_tenant(self, key, request):
        sees = self.key_sees[key["id"]]
        what = self.below(14)
        if what < 3:
            named = [self.pick(self.tenants)["id"]]
        elif what == 3:
            named = []
        elif what == 4:
            named = self.pick([[""], ["", ""], ["", self.pick(sees)], [self.pick(sees), ""]])
        elif what == 5:
            one = self.pick(sees)
            named = self.pick([[one, one], [one, self.pick(self.tenants)["id"]], [one, "", one]])
        elif what == 6 and key["kind"] == "partner":
            named = [self.pick(self.organizations)["id"]]
        elif what in (6, 7):
            named = [self.near_miss(self.pick(sees))]
        elif what == 8:
            named = [key["tenant"]]
        elif what == 9:
            named = [self.by_id[key["tenant"]]["parent"] or key["tenant"]]
        elif what == 10:
            named = [self.new_id(self.pick(["organization", "sub_entity", "project", "personal", "partner"]))]
        elif what == 11:
            named = [self.pick([key["id"], self.pick(self.users)["id"], "x", "*", "null", "0", " ", "a" * 300])]
        elif what == 12:
            named = [self.pick(self.users)["personal"]]
        else:
            sick = [tenant["id"] for tenant in self.tenants if tenant["suspended"] or tenant["deleted"]]
            named = [self.pick(sick or sees)]
            below = self.children[named[0]]
            if below and self.chance(0.5):
                named = [self.pick(below)["id"]]
        request["tenant_headers"] = named

    def spoil_address(self, key, request):
        network = self.pick(key["addresses"])
        base, length = network.split("/")
        base, length = ipaddress.ip_address(base), int(length)
        what = self.below(8)
        if what < 4 and length > 0:
            # One bit within the prefix turned; at its end most often.
            bit = length - 1 if self.chance(0.6) else self.below(length)
            turned = type(base)(int(base) ^ 1 << (base.max_prefixlen - 1 - bit))
            request["address"] = str(turned)
            if turned.version == 4 and self.chance(0.4):
                request["address"] = self.pick(["::ffff:", "::FFFF:", "0:0:0:0:0:ffff:"]) + str(turned)
        elif what == 4:
            request["address"] = None
        elif what == 5:
            # Looks like the network's addresses, in another family.
            last = str(ipaddress.IPv4Address(int(base) & 0xFFFFFFFF))
            request["address"] = self.pick(["::" + last, "::ffff:0:" + last, "64:ff9b::" + last, last, "::ffff:" + last])
        elif what == 6:
            inside = self.address_in(network)
            request["address"] = self.pick(["", "unknown", inside + "%eth0", inside + "/32", " " + inside, inside + ":80",
                                            "[" + inside + "]", inside + ".", "0" + inside, "1.2.3", "1.2.3.4.5", "256.1.1.1",
                                            "0x7f.1", "::1::", "12345::", "1.2.3.04", inside + "\x00"])
        else:
            request["address"] = str(self.pick([ipaddress.IPv4Address(self.rng.getrandbits(32)),
                                                ipaddress.IPv6Address(self.rng.getrandbits(128))]))

    def expiring_request(self, key):
        request = self.sound_request(key)
        # A key with a limit stays near the clock: its arrival time would run away.
        if key["rate_limit"] is None or abs(key["expires_ms"] - self.clock) < 60_000:
            request["now_ms"] = key["expires_ms"] + self.pick([-1, -1, 0, 0, 1, -1000, 1000])
        # Expiry is asked before all of these.
        roll = self.below(10)
        if roll == 0 and self.headers:
            request["headers"] = [[self.pick(self.headers)[0], key["token"]]]
        elif roll == 1:
            request["headers"] = self.basic(key["tenant"] + ":" + key["token"])
            request["host"] = self.pick([None, "x", self.space_host(key)])
        elif roll == 2:
            self.spoil_path(request)
        return request


def generate(seed, cases, requests_per_world=500):
    """Yields (world, requests) until there are as many requests as asked for."""
    number = 0
    while cases > 0:
        # Each world has a seed of its own, so that one can be made again alone.
        maker = Maker(random.Random("%d/%d" % (seed, number)))
        world = maker.world()
        requests = maker.requests(min(cases, requests_per_world))
        yield world, requests
        cases -= len(requests)
        number += 1


def main():
    """worlds.py SEED CASES [REQUESTS_PER_WORLD]: the protocol's lines, to look at."""
    numbers = [int(text) for text in sys.argv[1:]]
    if len(numbers) not in (2, 3):
        sys.exit("usage: worlds.py SEED CASES [REQUESTS_PER_WORLD]")
    for world, requests in generate(*numbers):
        print(json.dumps({"world": world}))
        for request in requests:
            print(json.dumps({"request": request}))


if __name__ == "__main__":
    main()
