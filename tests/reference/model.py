#!/usr/bin/python3
"""The decision, written as slowly and plainly as possible.

This is docs/internals/decision.md turned into loops and lists, step by step,
to compare the real implementation with. It shares no code and no data
structure with it. Where something here looks clumsy (every route of every
family is tried, the tenant tree is walked again for each question), that is
the point: the reader should be able to hold it against the page.

    world = World(the "world" object of README.md)
    answer = decide(world, the "request" object of README.md)

Run as a program, it speaks the protocol of README.md on stdin and stdout.
"""

import base64
import binascii
import ipaddress
import json
import re
import sys
import zlib

import yaml

try:
    YamlLoader = yaml.CSafeLoader
except AttributeError:  # PyYAML built without libyaml
    YamlLoader = yaml.SafeLoader


class Refused(Exception):
    """Raised by the step that fails; carries the whole answer."""

    def __init__(self, code, **more):
        super().__init__(code)
        self.answer = {"code": code, **more}


# --------------------------------------------------------------------------
# The world: what the ring and the policy say


class Family:
    def __init__(self, name, body):
        self.name = name
        self.routes = [route.split("/")[1:] for route in body["routes"]]
        self.kinds = body["kinds"]
        # method (or "*") -> list of scopes, all of which are needed
        self.entries = {}
        for method, scopes in body["scopes"].items():
            self.entries[method] = [scopes] if isinstance(scopes, str) else list(scopes)
        self.tenant_header = body.get("tenant_header", "optional")
        self.environments = body.get("environments", ["live", "sandbox"])
        self.inherited = body.get("inherited", False)


def holder(data, **more):
    """What stands behind a credential: a key, a session or an issuer, all with the same members."""
    record = {"addresses": [], "rate_limit": None, "environment": "live", "rotated_out": False, "expires_ms": None,
              "user": None, "scopes": None}
    record.update(data)
    record.update(more)
    return record


class World:
    def __init__(self, data):
        policy = yaml.load(data["policy"], Loader=YamlLoader)
        self.families = [Family(name, body) for name, body in policy["families"].items()]
        self.scopes = {name: body or {} for name, body in policy["scopes"].items()}
        self.roles = {name: body["scopes"] for name, body in (policy.get("roles") or {}).items()}
        self.domain = data["domain"]
        self.tenants = {tenant["id"]: tenant for tenant in data["tenants"]}
        self.users = {user["id"]: user for user in data["users"]}
        self.foreign_tokens = data["foreign_tokens"]
        self.keys = {key["token"]: holder(key, is_a="key", principal=key["id"]) for key in data["keys"]}
        for session in data["sessions"]:
            user = self.users[session["user"]]
            self.keys[session["token"]] = holder(session, is_a="session", principal=user["id"], kind="session",
                                                 binding="user", tenant=user["personal"], revoked=session["ended"])
        self.issuers = {}
        for issuer in data["issuers"]:
            self.issuers[issuer["id"]] = holder(issuer, is_a="issuer", principal=issuer["id"], kind="session",
                                                binding="organization", revoked=issuer["removed"])
        # Carriers beside Authorization: lower-case name -> the kind it carries,
        # or None where it carries any.
        self.token_headers = {"x-api-key": None}
        for header in data["credential_headers"]:
            self.token_headers[header["name"].lower()] = header["kind"]
        self.networks = {}
        for key in self.keys.values():
            self.networks[key["id"]] = [read_network(text) for text in key["addresses"]]
        for issuer in self.issuers.values():
            self.networks[issuer["id"]] = []
        # The state of step 9: key id -> theoretical arrival time, nanoseconds.
        self.arrival = {}


def raw_bytes(text):
    """Strings of a request carry bytes: the character U+00XX is the byte XX."""
    return text.encode("latin-1")


# --------------------------------------------------------------------------
# 1. Parse the credential

OWN_FORM = re.compile(
    r"([a-z][a-z0-9]{0,15}(?:_[a-z0-9]{1,16})*)_([0-9a-f]{32})(?:_([0-9a-f]{8}))?", re.ASCII)
JWT_FORM = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
FOREIGN_FORM = re.compile(r"[A-Za-z0-9\-._~+/=]{8,512}", re.ASCII)


def token_form(world, token):
    """The form of a token: "own", "jwt" or "foreign". The first that fits is its form."""
    own = OWN_FORM.fullmatch(token)
    if own and len(own.group(1)) <= 32:
        checksum = own.group(3)
        if checksum is not None:
            before = token[:-9]
            if checksum != "%08x" % zlib.crc32(before.encode("ascii")):
                raise Refused("credential_malformed")
        return "own"
    if JWT_FORM.fullmatch(token):
        return "jwt"
    if world.foreign_tokens and FOREIGN_FORM.fullmatch(token):
        return "foreign"
    raise Refused("credential_malformed")


def parse_basic(world, encoded):
    """The user and the token of a Basic credential."""
    try:
        decoded = base64.b64decode(encoded.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("credential_malformed")
    # One text only may stand for these bytes: padded, unused bits zero.
    if base64.b64encode(decoded) != encoded.encode("latin-1"):
        raise Refused("credential_malformed")
    if len(decoded) > 768:
        raise Refused("credential_malformed")
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("credential_malformed")
    for byte in decoded:
        if byte < 0x20 or byte == 0x7F:
            raise Refused("credential_malformed")
    if ":" not in text:
        raise Refused("credential_malformed")
    user, token = text.split(":", 1)
    if token_form(world, token) == "jwt":
        raise Refused("credential_malformed")
    return user, token


class Credential:
    def __init__(self, token, form, carrier_kind=None, basic_user=None):
        self.token = token
        self.form = form
        self.carrier_kind = carrier_kind
        self.basic_user = basic_user


def parse_credential(world, request):
    sent = []
    for name, value in request["headers"]:
        name = name.lower()
        if value != "" and (name == "authorization" or name in world.token_headers):
            sent.append((name, value))
    if len(sent) == 0:
        raise Refused("credential_missing")
    if len(sent) > 1:
        raise Refused("credential_malformed")

    name, value = sent[0]
    if name != "authorization":
        return Credential(value, token_form(world, value), carrier_kind=world.token_headers[name])

    scheme, _, rest = value.partition(" ")
    rest = rest.lstrip(" ")
    if rest == "":
        raise Refused("credential_malformed")
    # Compared as bytes, so that only ASCII letters have a case.
    scheme = raw_bytes(scheme).lower()
    if scheme == b"bearer":
        return Credential(rest, token_form(world, rest))
    if scheme == b"basic":
        user, token = parse_basic(world, rest)
        return Credential(token, token_form(world, token), basic_user=user)
    raise Refused("credential_malformed")


# --------------------------------------------------------------------------
# The tenant tree


def ancestors(world, tenant):
    """The tenants above this one, nearest first."""
    if tenant["parent"] is None:
        return []
    parent = world.tenants[tenant["parent"]]
    return [parent] + ancestors(world, parent)


def alive(world, tenant):
    """Neither it nor any tenant above it is suspended or deleted."""
    for each in [tenant] + ancestors(world, tenant):
        if each["suspended"] or each["deleted"]:
            return False
    return True


def is_at_or_below(world, tenant, root):
    for each in [tenant] + ancestors(world, tenant):
        if each["id"] == root["id"]:
            return True
    return False


def organization_of(world, tenant):
    """The tenant itself if it is an organization, else the one above it, else None."""
    for each in [tenant] + ancestors(world, tenant):
        if each["kind"] == "organization":
            return each
    return None


# --------------------------------------------------------------------------
# 2. Look up


class Caller:
    """Who asks: what stands behind the credential, and the JWT that was presented for it, if one was."""

    def __init__(self, world, key, jwt):
        self.key = key
        self.jwt = jwt
        self.own = world.tenants[key["tenant"]]
        self.kind = key["kind"]
        self.binding = key["binding"]
        self.is_session = key["kind"] == "session"

    def names_tenant(self):
        return self.jwt is not None and self.jwt["tenant"] is not None


def look_up(world, credential, request):
    if credential.form == "jwt":
        return look_up_jwt(world, credential, request)
    key = world.keys.get(credential.token)
    if key is None:
        raise Refused("credential_invalid")
    refuse_what_is_over(world, key, None, request["now_ms"])
    # A session's token is taken from a carrier that names sessions alone.
    if key["kind"] == "session" and credential.carrier_kind != "session":
        raise Refused("credential_invalid")
    if credential.carrier_kind is not None and credential.carrier_kind != key["kind"]:
        raise Refused("credential_invalid")
    if credential.basic_user is not None:
        if key["binding"] != "project" or credential.basic_user != key["tenant"]:
            raise Refused("credential_invalid")
        if not host_matches(world, key, request["host"]):
            raise Refused("credential_invalid")
    return Caller(world, key, None)


def refuse_what_is_over(world, key, jwt, now_ms):
    if key["revoked"]:
        raise Refused("credential_invalid")
    if key["expires_ms"] is not None and now_ms >= key["expires_ms"]:
        raise Refused("credential_invalid" if key["rotated_out"] else "credential_expired")
    if jwt is not None and jwt["expires_ms"] is not None and now_ms >= jwt["expires_ms"]:
        raise Refused("credential_expired")
    if not alive(world, world.tenants[key["tenant"]]):
        raise Refused("credential_invalid")
    if key["binding"] == "user" and world.users[key["user"]]["disabled"]:
        raise Refused("credential_invalid")


def look_up_jwt(world, credential, request):
    jwt = request["assertion"]
    if jwt is None or jwt["result"] != "ok":
        raise Refused("credential_invalid")
    if jwt["for"] == "issuer":
        key = world.issuers.get(jwt["issuer"])
    else:
        key = world.keys.get(jwt["token"])
    if key is None or key["is_a"] != jwt["for"]:
        raise Refused("credential_invalid")
    refuse_what_is_over(world, key, jwt, request["now_ms"])
    if credential.carrier_kind is not None and credential.carrier_kind != key["kind"]:
        raise Refused("credential_invalid")
    caller = Caller(world, key, None)
    if jwt["tenant"] is not None:
        tenant = world.tenants.get(jwt["tenant"])
        if tenant is None or not alive(world, tenant):
            raise Refused("credential_invalid")
        if jwt["for"] == "issuer":
            if tenant["kind"] == "personal" or not is_at_or_below(world, tenant, caller.own):
                raise Refused("credential_invalid")
        elif not covers(world, caller, tenant, None):
            raise Refused("credential_invalid")
    caller.jwt = jwt
    if jwt["tenant"] is not None:
        caller.own = tenant
    return caller


PORT = re.compile(rb":[0-9]*\Z")


def host_matches(world, key, host):
    """Is this the space URL of the organization that the key's project is in?"""
    organization = organization_of(world, world.tenants[key["tenant"]])
    if not host or not world.domain or organization is None or not organization["slug"]:
        return False
    host = PORT.sub(b"", raw_bytes(host))
    if host.endswith(b"."):
        host = host[:-1]
    wanted = organization["slug"] + "." + world.domain
    return host.lower() == raw_bytes(wanted).lower()


# --------------------------------------------------------------------------
# 3. Path

HEX = b"0123456789abcdefABCDEF"


def read_segment(raw):
    """One segment, decoded; None when it can be read in two ways."""
    decoded = bytearray()
    i = 0
    while i < len(raw):
        byte = raw[i]
        if byte <= 0x20 or byte == 0x7F or byte in b"\\;#":
            return None
        if byte != 0x25:  # "%"
            decoded.append(byte)
            i += 1
            continue
        digits = raw[i + 1:i + 3]
        if len(digits) < 2 or digits[0] not in HEX or digits[1] not in HEX:
            return None
        byte = int(digits, 16)
        if byte < 0x20 or byte == 0x7F or byte in b"./\\;":
            return None
        decoded.append(byte)
        i += 3
    # A "%" that is left came from %25; with two hex digits behind it (escaped
    # themselves or not), whoever decodes twice reads something else.
    decoded = bytes(decoded)
    if re.search(rb"%[0-9A-Fa-f]{2}", decoded):
        return None
    if decoded in (b".", b".."):
        return None
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return decoded


def read_path(raw):
    path = raw_bytes(raw).split(b"?", 1)[0]
    if not path.startswith(b"/") or len(path) > 2048:
        raise Refused("path_ambiguous")
    pieces = path[1:].split(b"/")
    if len(pieces) > 64:
        raise Refused("path_ambiguous")
    segments = []
    for number, piece in enumerate(pieces):
        if piece == b"" and number != len(pieces) - 1:
            raise Refused("path_ambiguous")
        segment = read_segment(piece)
        if segment is None:
            raise Refused("path_ambiguous")
        segments.append(segment.decode("utf-8"))
    return segments


# --------------------------------------------------------------------------
# 4. Route family

METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,32}", re.ASCII)


def route_matches(route, segments):
    for i, part in enumerate(route):
        if part == "**":
            return True
        if i == len(segments):
            return False
        if part.startswith("{"):
            if segments[i] == "":
                return False
        elif part != segments[i]:
            return False
    return len(route) == len(segments)


def specificity(route):
    """Sorts the most specific first: from the left, literal, then {name}, then **.
    A route that ends where another has ** is the shorter list, and so comes first."""
    ranks = []
    for part in route:
        if part == "**":
            ranks.append(2)
        elif part.startswith("{"):
            ranks.append(1)
        else:
            ranks.append(0)
    return ranks


def find_family(world, method, segments):
    """The family that decides, and the list of scopes its entry for the method names."""
    if not METHOD.fullmatch(method):
        raise Refused("route_unknown")
    found = []
    for family in world.families:
        for route in family.routes:
            if not route_matches(route, segments):
                continue
            if method in family.entries:
                found.append((specificity(route), 0, family, family.entries[method]))
            elif "*" in family.entries:
                found.append((specificity(route), 1, family, family.entries["*"]))
    if not found:
        raise Refused("route_unknown")
    found.sort(key=lambda each: (each[0], each[1]))
    return found[0][2], found[0][3]


# --------------------------------------------------------------------------
# 6. Address


def read_address(text):
    """The client's address, or None when it is unknown."""
    if text is None or "%" in text:  # a zone is not part of an address
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def read_network(text):
    """A range of a key. One of IPv4-mapped addresses counts as the IPv4 range."""
    network = ipaddress.ip_network(text)
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return ipaddress.ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def address_allowed(world, key, text):
    """Sessions and issuers have no addresses."""
    if not key["addresses"]:
        return True
    address = read_address(text)
    if address is None:
        return False
    for network in world.networks[key["id"]]:
        if network.version == address.version and address in network:
            return True
    return False


# --------------------------------------------------------------------------
# 8. Tenant

ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def id_number(text):
    number = 0
    for digit in text.split("_")[1]:
        number = number * 32 + ID_DIGITS.index(digit)
    return number


def role_scopes(world, role):
    """What a role gives a session."""
    given = []
    for name, body in world.scopes.items():
        opt_in = body.get("opt_in", False)
        if role in world.roles:
            gives = name in world.roles[role]
        elif role == "administrator":
            gives = not opt_in
        elif role == "member":
            gives = body.get("default", False)
        elif role == "account_reader":
            gives = not opt_in and name.endswith(":read")
        else:
            gives = False
        if gives and "session" in body.get("kinds", ["session"]):
            given.append(name)
    return given


def live_memberships(world, user):
    live = []
    for membership in world.users[user]["memberships"]:
        if alive(world, world.tenants[membership["tenant"]]):
            live.append(membership)
    return live


def roles_on(world, caller, tenant):
    """The roles of a session that count on this tenant; those of an issuer's JWT are held on its own tenant."""
    if caller.key["is_a"] == "issuer":
        roles = caller.jwt["roles"]
        if tenant["kind"] == "personal" or not is_at_or_below(world, tenant, caller.own):
            return []
        if tenant["id"] == caller.own["id"]:
            return roles
        return [role for role in roles if role == "administrator"]
    memberships = live_memberships(world, caller.key["user"])
    if tenant["id"] == caller.key["tenant"]:
        return [membership["role"] for membership in memberships]
    return [membership["role"] for membership in memberships if covered(world, membership, tenant)]


def covered(world, membership, tenant):
    """Does this membership, of an active tenant, cover the tenant?"""
    if tenant["kind"] == "personal":
        return False
    root = world.tenants[membership["tenant"]]
    if tenant["id"] == root["id"]:
        return True
    return membership["below"] and is_at_or_below(world, tenant, root)


def scopes_on(world, caller, tenant):
    scopes = set()
    for role in roles_on(world, caller, tenant):
        scopes.update(role_scopes(world, role))
    return scopes


def covers(world, caller, tenant, family):
    """Step 8's table, leaving scopes out of account. Without a family a partner may be named."""
    if caller.names_tenant() and not is_at_or_below(world, tenant, caller.own):
        return False
    binding = caller.binding
    key_tenant = world.tenants[caller.key["tenant"]]
    if binding == "operator":
        return True
    if binding == "partner":
        if tenant["id"] == key_tenant["id"]:
            return family is None or family.tenant_header not in ("required", "required_for_partner")
        return tenant["kind"] == "organization" and tenant["parent"] == key_tenant["id"]
    if binding == "user":
        if tenant["id"] == key_tenant["id"]:
            return True
        return any(covered(world, membership, tenant) for membership in live_memberships(world, caller.key["user"]))
    if tenant["kind"] == "personal":
        return False
    if caller.key["is_a"] == "issuer":
        if tenant["id"] == caller.own["id"]:
            return True
        return is_at_or_below(world, tenant, caller.own) and "administrator" in caller.jwt["roles"]
    # organization, sub_entity, project
    return is_at_or_below(world, tenant, key_tenant)


def sees(world, caller, tenant, family, needed):
    if not covers(world, caller, tenant, family):
        return False
    return not caller.is_session or set(needed) <= scopes_on(world, caller, tenant)


def named_tenant(world, request):
    """The active tenant that X-Tenant-Id names, if it is sent once."""
    sent = [value for value in request["tenant_headers"] if value != ""]
    if len(sent) != 1:
        return None
    # Ids have one spelling each, so any other text is simply not in the list.
    tenant = world.tenants.get(sent[0])
    if tenant is None or not alive(world, tenant):
        return None
    return tenant


def scopes_of(world, caller, family, request):
    """The scopes that step 7 counts with."""
    if caller.is_session:
        tenant = named_tenant(world, request)
        if tenant is None or not covers(world, caller, tenant, family):
            tenant = caller.own
        scopes = scopes_on(world, caller, tenant)
    else:
        scopes = set(caller.key["scopes"])
    if caller.jwt is not None:
        if caller.jwt["scopes"] is not None:
            scopes = scopes & set(caller.jwt["scopes"])
        if caller.jwt["family"] is not None and caller.jwt["family"] != family.name:
            scopes = set()
    return scopes


def effective_tenant(world, caller, family, needed, request):
    sent = [value for value in request["tenant_headers"] if value != ""]
    if len(sent) > 1:
        raise Refused("tenant_forbidden")
    rule = family.tenant_header
    if not sent:
        if not caller.names_tenant():
            if rule == "required":
                raise Refused("tenant_required")
            if rule == "required_for_partner" and caller.kind == "partner":
                raise Refused("tenant_required")
        return caller.own
    if rule == "refused":
        raise Refused("tenant_forbidden")
    tenant = named_tenant(world, request)
    if tenant is None or not sees(world, caller, tenant, family, needed):
        raise Refused("tenant_forbidden")
    return tenant


def visible_roots(world, caller, tenant, family, needed):
    if caller.binding == "partner":
        return [tenant["id"]]
    if caller.names_tenant():
        # Where a session may not do on its JWT's tenant what it does below it, that one is all.
        if sees(world, caller, caller.own, family, needed):
            return [caller.own["id"]]
        return [tenant["id"]]
    roots = []
    if caller.binding == "user":
        for membership in live_memberships(world, caller.key["user"]):
            root = world.tenants[membership["tenant"]]
            if not caller.is_session or sees(world, caller, root, family, needed):
                roots.append(root["id"])
    return [caller.own["id"]] + sorted(roots, key=id_number)


def inherited_tenants(world, family, method, tenant):
    if not family.inherited or method not in ("GET", "HEAD"):
        return []
    organization = organization_of(world, tenant)
    if organization is None or organization["id"] == tenant["id"]:
        return []
    above = []
    for each in ancestors(world, tenant):
        above.append(each["id"])
        if each["id"] == organization["id"]:
            return above


# --------------------------------------------------------------------------
# 9. Rate limit

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


def take_one(world, key, now_ms):
    """How many requests remain; None where the key has no limit."""
    limit = key["rate_limit"]
    if limit is None:
        return None
    now = now_ms * MILLISECOND
    window = limit["window_s"] * SECOND
    interval = window // limit["requests"]
    tat = world.arrival.get(key["id"], 0)
    following = max(tat, now) + interval
    if following - now > window:
        wait = following - now - window
        raise Refused("rate_limited", retry_after_s=min((wait + SECOND - 1) // SECOND, 2**32 - 1))
    world.arrival[key["id"]] = following
    return (window - (following - now)) // interval


# --------------------------------------------------------------------------


def decide(world, request):
    try:
        return decide_or_refuse(world, request)
    except Refused as refusal:
        return refusal.answer


def decide_or_refuse(world, request):
    credential = parse_credential(world, request)                          # 1
    caller = look_up(world, credential, request)                           # 2
    key = caller.key
    segments = read_path(request["path"])                                  # 3
    family, needed = find_family(world, request["method"], segments)       # 4

    if caller.kind not in family.kinds:                                    # 5
        raise Refused("kind_not_allowed")

    if key["environment"] not in family.environments:                      # 6
        raise Refused("environment_mismatch")
    if not address_allowed(world, key, request["address"]):
        raise Refused("address_not_allowed")

    scopes = scopes_of(world, caller, family, request)                     # 7
    for scope in needed:
        if scope not in scopes:
            raise Refused("scope_missing", required_scope=scope)
    if not scopes:
        raise Refused("scope_missing", required_scope="")

    tenant = effective_tenant(world, caller, family, needed, request)      # 8
    organization = organization_of(world, tenant)

    remaining = take_one(world, key, request["now_ms"])                    # 9

    return {
        "code": "ok",
        "principal": key["principal"],
        "kind": caller.kind,
        "tenant": tenant["id"],
        "organization": organization["id"] if organization else "",
        "visible": visible_roots(world, caller, tenant, family, needed),
        "inherited": inherited_tenants(world, family, request["method"], tenant),
        "scopes": sorted(scopes),
        "environment": key["environment"],
        "family": family.name,
        "remaining": remaining,
    }


def main():
    world = None
    for line in sys.stdin:
        message = json.loads(line)
        if "world" in message:
            world = World(message["world"])
        else:
            sys.stdout.write(json.dumps(decide(world, message["request"])) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
