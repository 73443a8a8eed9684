"""Cases derived by hand from the brief and docs/internals/decision.md.

Each says what one request changes against a plain one that is allowed, and
the answer that the page gives. Where only the code is written, the answer is
that code and nothing else.
"""

import base64
import zlib

import model

NOW = 1_790_000_000_000

OPERATOR = "opr_0000000000001"
PARTNER = "prt_0000000000002"
PARTNER_2 = "prt_0000000000003"
ACME = "org_0000000000010"           # the partner's, slug acme
SALES = "sub_0000000000011"          # below acme
SALES_EU = "sub_0000000000012"       # below sales
DIALER = "prj_0000000000013"         # below sales-eu
ANN = "per_0000000000014"            # personal, below acme
BOB = "per_0000000000015"            # personal, below acme
ASLEEP = "sub_0000000000016"         # below acme, suspended
IN_ASLEEP = "prj_0000000000017"
GONE = "sub_0000000000018"           # below acme, deleted
IN_GONE = "prj_0000000000019"
BLUE = "org_0000000000020"           # the operator's own, slug blue
BLUE_SUB = "sub_0000000000021"
BLUE_PROJECT = "prj_0000000000022"
RED = "org_0000000000030"            # the partner's, suspended
RED_SUB = "sub_0000000000031"
PLAIN = "org_000000000003z"          # the partner's, without a slug
PLAIN_PROJECT = "prj_0000000000040"
USER_ANN = "usr_0000000000041"
USER_BOB = "usr_0000000000042"       # disabled

POLICY = """\
version: 1
scopes:
  contacts:read: {about: Read contacts, default: true}
  contacts:write: {about: Write contacts}
  billing:partner:allocate: {about: Allocate, opt_in: true}
roles:
  clerk: {about: Writes, scopes: [contacts:write, billing:partner:allocate]}
families:
  contacts:
    routes: ["/api/contacts", "/api/contacts/**"]
    kinds: [session, tenant, partner, runtime]
    scopes: {GET: contacts:read, HEAD: contacts:read, "*": contacts:write}
  contact:
    routes: ["/api/contacts/{id}"]
    kinds: [tenant]
    scopes: {GET: contacts:read}
    inherited: true
  export:
    routes: ["/api/contacts/export", "/api/{thing}/export/all"]
    kinds: [tenant]
    scopes: {GET: [contacts:read, contacts:write], POST: contacts:write}
  export_rest:
    routes: ["/api/contacts/export"]
    kinds: [tenant]
    scopes: {"*": contacts:read}
  mine:
    routes: ["/api/me"]
    kinds: [tenant]
    scopes: {"*": contacts:read}
    tenant_header: refused
  allocate:
    routes: ["/partner/**"]
    kinds: [partner, tenant]
    scopes: {"*": contacts:read}
    tenant_header: required_for_partner
  strict:
    routes: ["/strict"]
    kinds: [partner, tenant]
    scopes: {"*": contacts:read}
    tenant_header: required
    inherited: true
  live:
    routes: ["/live"]
    kinds: [tenant]
    scopes: {"*": contacts:read}
    environments: [live]
  people:
    routes: ["/people"]
    kinds: [session]
    scopes: {"*": contacts:read}
  trust:
    routes: ["/trust/**"]
    kinds: [tenant, partner, runtime]
    scopes: {"*": contacts:read}
    inherited: true
  trust_v1:
    routes: ["/trust/v1/{a}"]
    kinds: [tenant]
    scopes: {"*": contacts:read}
  trust_a:
    routes: ["/trust/{v}/list"]
    kinds: [tenant]
    scopes: {"*": contacts:read}
"""


def tenant(tenant_id, kind, parent, slug=None, suspended=False, deleted=False):
    return {"id": tenant_id, "kind": kind, "parent": parent, "slug": slug, "suspended": suspended, "deleted": deleted}


TENANTS = [
    tenant(OPERATOR, "operator", None),
    tenant(PARTNER, "partner", OPERATOR),
    tenant(PARTNER_2, "partner", OPERATOR),
    tenant(ACME, "organization", PARTNER, "acme"),
    tenant(SALES, "sub_entity", ACME),
    tenant(SALES_EU, "sub_entity", SALES),
    tenant(DIALER, "project", SALES_EU),
    tenant(ANN, "personal", ACME),
    tenant(BOB, "personal", ACME),
    tenant(ASLEEP, "sub_entity", ACME, suspended=True),
    tenant(IN_ASLEEP, "project", ASLEEP),
    tenant(GONE, "sub_entity", ACME, deleted=True),
    tenant(IN_GONE, "project", GONE),
    tenant(BLUE, "organization", OPERATOR, "blue"),
    tenant(BLUE_SUB, "sub_entity", BLUE),
    tenant(BLUE_PROJECT, "project", BLUE),
    tenant(RED, "organization", PARTNER, "red", suspended=True),
    tenant(RED_SUB, "sub_entity", RED),
    tenant(PLAIN, "organization", PARTNER),
    tenant(PLAIN_PROJECT, "project", PLAIN),
]

USERS = [
    {"id": USER_ANN, "personal": ANN, "disabled": False,
     "memberships": [{"tenant": BLUE, "role": "account_reader", "below": False},
                     {"tenant": SALES, "role": "administrator", "below": True},
                     {"tenant": DIALER, "role": "clerk", "below": False},
                     {"tenant": ASLEEP, "role": "administrator", "below": True},
                     {"tenant": RED_SUB, "role": "administrator", "below": True},
                     {"tenant": GONE, "role": "clerk", "below": True}]},
    {"id": USER_BOB, "personal": BOB, "disabled": True, "memberships": []},
]

BOTH = ["contacts:write", "contacts:read"]
KEYS = []


def token(number):
    return "ks_%032x" % number


def key(number, binding, tenant_id, kind="tenant", **more):
    record = {"id": "key_00000000000%02d" % number, "token": token(number), "kind": kind, "binding": binding,
              "tenant": tenant_id, "user": None, "scopes": BOTH, "environment": "live", "addresses": [],
              "rate_limit": None, "expires_ms": None, "rotated_out": False, "revoked": False}
    record.update(more)
    KEYS.append(record)
    return record


ORG_KEY = key(1, "organization", ACME)
SUB_KEY = key(2, "sub_entity", SALES)
PROJECT_KEY = key(3, "project", DIALER)
ANN_KEY = key(4, "user", ANN, user=USER_ANN)
BOB_KEY = key(5, "user", BOB, user=USER_BOB)
PARTNER_KEY = key(6, "partner", PARTNER, kind="partner")
OPERATOR_KEY = key(7, "operator", OPERATOR, kind="runtime")
REVOKED = key(8, "organization", ACME, revoked=True, expires_ms=NOW - 5)
EXPIRING = key(9, "organization", ACME, expires_ms=NOW)
ROTATED = key(10, "organization", ACME, expires_ms=NOW, rotated_out=True)
RED_KEY = key(11, "sub_entity", RED_SUB)
RED_EXPIRED = key(12, "sub_entity", RED_SUB, expires_ms=NOW - 1)
GONE_KEY = key(13, "project", IN_GONE)
SANDBOX = key(14, "organization", ACME, environment="sandbox")
FENCED = key(15, "organization", ACME, addresses=["203.0.113.0/24", "2001:db8::/33"])
READER = key(16, "organization", ACME, scopes=["contacts:read"])
POWERLESS = key(17, "organization", ACME, scopes=[])
LIMITED = key(18, "organization", ACME, rate_limit={"requests": 3, "window_s": 10})
PLAIN_KEY = key(19, "project", PLAIN_PROJECT)
BOB_EXPIRED = key(20, "user", BOB, user=USER_BOB, expires_ms=NOW)
BLUE_KEY = key(21, "project", BLUE_PROJECT)
OPERATOR_TENANT_KEY = key(22, "operator", OPERATOR)
CHECKED_TOKEN = "acme_live_" + "ab" * 16
CHECKED_TOKEN += "_%08x" % zlib.crc32(CHECKED_TOKEN.encode())
CHECKED = key(23, "organization", ACME, token=CHECKED_TOKEN)
LONG_PREFIX = key(24, "organization", ACME, token="a23456789012345_b234567890123456_" + "0" * 32)
IMPORTED = key(25, "organization", ACME, token="SG.x~1+/=-")

ISSUER = "iss_0000000000051"
ISSUER_GONE = "iss_0000000000052"
ISSUERS = [{"id": ISSUER, "tenant": ACME, "removed": False}, {"id": ISSUER_GONE, "tenant": ACME, "removed": True}]
SESSIONS = []


def session(number, user, **more):
    record = {"id": "ses_00000000000%02d" % number, "token": "kss_%032x" % number, "user": user, "expires_ms": None,
              "ended": False}
    record.update(more)
    SESSIONS.append(record)
    return record


SESSION = session(60, USER_ANN)
ENDED = session(61, USER_ANN, ended=True, expires_ms=NOW - 1)
OVER = session(62, USER_ANN, expires_ms=NOW)
BOBS_SESSION = session(63, USER_BOB)
JWT = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"

WORLD = {"policy": POLICY, "domain": "keystile.test", "tenants": TENANTS, "users": USERS,
         "credential_headers": [{"name": "X-Partner-Key", "kind": "partner"}, {"name": "X-Ten", "kind": "tenant"},
                                {"name": "X-Cookie", "kind": "session"}],
         "foreign_tokens": False, "keys": KEYS, "sessions": SESSIONS, "issuers": ISSUERS}


def bearer(text):
    return [["Authorization", "Bearer " + (text if isinstance(text, str) else text["token"])]]


def basic(text):
    return [["Authorization", "Basic " + base64.b64encode(text.encode("latin-1")).decode()]]


def request(**changes):
    plain = {"headers": bearer(ORG_KEY), "tenant_headers": [], "method": "GET", "path": "/api/contacts", "host": None,
             "address": None, "now_ms": NOW, "assertion": None}
    if isinstance(changes.get("headers"), dict):
        changes["headers"] = bearer(changes["headers"])
    plain.update(changes)
    return plain


def ok(**changes):
    answer = {"code": "ok", "principal": ORG_KEY["id"], "kind": "tenant", "tenant": ACME, "organization": ACME,
              "visible": [ACME], "inherited": [], "scopes": ["contacts:read", "contacts:write"],
              "environment": "live", "family": "contacts", "remaining": None}
    answer.update(changes)
    return answer


def cookie(holder=SESSION, **changes):
    return request(headers=[["X-Cookie", holder["token"]]], **changes)


def jwt(origin, holder, asked=None, **changes):
    """A JWT made for this holder; `asked` changes the request."""
    assertion = {"result": "ok", "for": origin, "token": None if origin == "issuer" else holder["token"],
                 "issuer": holder if origin == "issuer" else None, "expires_ms": None, "scopes": None, "tenant": None,
                 "family": None, "roles": []}
    assertion.update(changes)
    return request(**{"headers": bearer(JWT), "assertion": assertion, **(asked or {})})


def session_ok(**changes):
    """Ann's session: administrator of sales and below, account reader in blue, clerk in the dialer."""
    return ok(**{"principal": USER_ANN, "kind": "session", "tenant": ANN, "visible": [ANN, SALES, DIALER, BLUE],
                 "scopes": ["billing:partner:allocate", "contacts:read", "contacts:write"], **changes})


def issuer_ok(**changes):
    return ok(**{"principal": ISSUER, "kind": "session", **changes})


def sub_ok(**changes):
    return ok(**{"principal": SUB_KEY["id"], "tenant": SALES, "visible": [SALES], **changes})


def project_ok(**changes):
    return ok(**{"principal": PROJECT_KEY["id"], "tenant": DIALER, "visible": [DIALER], **changes})


def ann_ok(**changes):
    return ok(**{"principal": ANN_KEY["id"], "tenant": ANN, "visible": [ANN, SALES, DIALER, BLUE], **changes})


def partner_ok(**changes):
    return ok(**{"principal": PARTNER_KEY["id"], "kind": "partner", "tenant": PARTNER, "organization": "",
                 "visible": [PARTNER], **changes})


def operator_ok(**changes):
    return ok(**{"principal": OPERATOR_KEY["id"], "kind": "runtime", "tenant": OPERATOR, "organization": "",
                 "visible": [OPERATOR], **changes})


FOREIGN = {"foreign_tokens": True}
SPACE = {"headers": basic(DIALER + ":" + PROJECT_KEY["token"]), "host": "acme.keystile.test"}


def space(**changes):
    return request(**{**SPACE, **changes})


def path(text, **changes):
    return request(path=text, **changes)


def named(who, tenant_id, **changes):
    return request(headers=who, tenant_headers=[tenant_id], **changes)


# (name, request, answer or only its code, changes of the world)
CASES = [
    # 1. Parse
    ("plain", request(), ok()),
    ("none", request(headers=[]), "credential_missing"),
    ("empty is not sent", request(headers=[["Authorization", ""], ["X-API-Key", ""]]), "credential_missing"),
    ("empty beside a real one", request(headers=[["X-API-Key", ""]] + bearer(ORG_KEY)), ok()),
    ("twice", request(headers=bearer(ORG_KEY) * 2), "credential_malformed"),
    ("two carriers", request(headers=bearer(ORG_KEY) + [["X-API-Key", token(1)]]), "credential_malformed"),
    ("two, one nonsense", request(headers=bearer(ORG_KEY) + [["X-Ten", "?"]]), "credential_malformed"),
    ("scheme's case", request(headers=[["Authorization", "bEARER   " + token(1)]]), ok()),
    ("header's case", request(headers=[["aUTHORIZATION", "Bearer " + token(1)]]), ok()),
    ("tab for space", request(headers=[["Authorization", "Bearer\t" + token(1)]]), "credential_malformed"),
    ("other scheme", request(headers=[["Authorization", "Token " + token(1)]]), "credential_malformed"),
    ("no token", request(headers=[["Authorization", "Bearer "]]), "credential_malformed"),
    ("space behind", request(headers=bearer(token(1) + " ")), "credential_malformed"),
    ("x-api-key", request(headers=[["X-API-Key", token(1)]]), ok()),
    ("x-api-key with a scheme", request(headers=[["X-API-Key", "Bearer " + token(1)]]), "credential_malformed"),
    ("upper-case hex", request(headers=bearer("ks_" + "AB" * 16)), "credential_malformed"),
    ("31 digits", request(headers=bearer(token(1)[:-1])), "credential_malformed"),
    ("checksum", request(headers=bearer(CHECKED)), ok(principal=CHECKED["id"])),
    ("wrong checksum", request(headers=bearer(CHECKED_TOKEN[:-8] + "00000000")), "credential_malformed"),
    ("wrong checksum is not foreign", request(headers=bearer(CHECKED_TOKEN[:-8] + "00000000")),
     "credential_malformed", FOREIGN),
    ("without its checksum it is another key", request(headers=bearer(CHECKED_TOKEN[:-9])), "credential_invalid"),
    ("prefix of 32", request(headers=bearer(LONG_PREFIX)), ok(principal=LONG_PREFIX["id"])),
    ("prefix of 33", request(headers=bearer("a234567890123456_b234567890123456_" + "0" * 32)), "credential_malformed"),
    ("prefix starts with a digit", request(headers=bearer("1k_" + "0" * 32)), "credential_malformed"),
    ("jwt", request(headers=bearer("eyJh.eyJz.c2ln")), "credential_invalid"),
    ("jwt, an empty part", request(headers=bearer("eyJh..c2ln")), "credential_malformed"),
    ("foreign, not imported", request(headers=bearer(IMPORTED)), "credential_malformed"),
    ("foreign", request(headers=bearer(IMPORTED)), ok(principal=IMPORTED["id"]), FOREIGN),
    ("foreign, 7 bytes", request(headers=bearer("A" * 7)), "credential_malformed", FOREIGN),
    ("foreign, 513 bytes", request(headers=bearer("A" * 513)), "credential_malformed", FOREIGN),
    ("foreign, 512 bytes", request(headers=bearer("A" * 512)), "credential_invalid", FOREIGN),
    ("basic", space(), project_ok()),
    ("basic, not base64", space(headers=[["Authorization", "Basic *"]]), "credential_malformed"),
    ("basic, no padding", space(headers=[["Authorization", "Basic YTpi" + "YQ"]]), "credential_malformed"),
    ("basic, no colon", space(headers=basic(token(3))), "credential_malformed"),
    ("basic, control byte", space(headers=basic("a\x1f:" + token(3))), "credential_malformed"),
    ("basic, not utf-8", space(headers=basic("a\xff:" + token(3))), "credential_malformed"),
    ("basic, token malformed", space(headers=basic(DIALER + ":x" + token(3)[3:])), "credential_malformed"),
    ("basic, jwt", space(headers=basic(DIALER + ":eyJh.eyJz.c2ln")), "credential_malformed"),
    ("basic, jwt, though foreign tokens exist", space(headers=basic(DIALER + ":eyJh.eyJz.c2ln")),
     "credential_malformed", FOREIGN),
    ("basic, 768 bytes", space(headers=basic("u" * 732 + ":" + token(3))), "credential_invalid"),
    ("basic, 769 bytes", space(headers=basic("u" * 733 + ":" + token(3))), "credential_malformed"),
    # 2. Look up
    ("unknown", request(headers=bearer(token(999))), "credential_invalid"),
    ("revoked before expired", request(headers=REVOKED), "credential_invalid"),
    ("a millisecond before expiry", request(headers=EXPIRING, now_ms=NOW - 1), ok(principal=EXPIRING["id"])),
    ("at expiry", request(headers=EXPIRING), "credential_expired"),
    ("rotated out, before", request(headers=ROTATED, now_ms=NOW - 1), ok(principal=ROTATED["id"])),
    ("rotated out", request(headers=ROTATED), "credential_invalid"),
    ("organization suspended", request(headers=RED_KEY), "credential_invalid"),
    ("expired before the tenant", request(headers=RED_EXPIRED), "credential_expired"),
    ("tenant above deleted", request(headers=GONE_KEY), "credential_invalid"),
    ("user disabled", request(headers=BOB_KEY), "credential_invalid"),
    ("expired before the user", request(headers=BOB_EXPIRED), "credential_expired"),
    ("carrier of its kind", request(headers=[["x-ten", token(1)]]), ok()),
    ("carrier of another kind", request(headers=[["X-Partner-Key", token(1)]]), "credential_invalid"),
    ("expired before the carrier", request(headers=[["X-Partner-Key", token(9)]]), "credential_expired"),
    ("basic, not a project's", space(headers=basic(ACME + ":" + token(1))), "credential_invalid"),
    ("basic, another project's id", space(headers=basic(BLUE_PROJECT + ":" + token(3))), "credential_invalid"),
    ("basic, id in capitals", space(headers=basic(DIALER.upper() + ":" + token(3))), "credential_invalid"),
    ("basic, port and dot and case", space(host="ACME.Keystile.TEST.:8443"), project_ok()),
    ("basic, two dots", space(host="acme.keystile.test.."), "credential_invalid"),
    ("basic, other space", space(host="blue.keystile.test"), "credential_invalid"),
    ("basic, no host", space(host=None), "credential_invalid"),
    ("basic, no slug", space(headers=basic(PLAIN_PROJECT + ":" + token(19)), host=".keystile.test"),
     "credential_invalid"),
    ("basic, no domain", space(host="acme."), "credential_invalid", {"domain": ""}),
    ("bearer needs no host", request(headers=PROJECT_KEY, host="elsewhere"), project_ok()),
    # 3. Path
    ("query", path("/api/contacts?a=/../%00"), ok()),
    ("hash", path("/api/contacts#x"), "path_ambiguous"),
    ("hash in the query", path("/api/contacts?#x"), ok()),
    ("empty path", path(""), "path_ambiguous"),
    ("absolute form", path("http://x/api/contacts"), "path_ambiguous"),
    ("doubled slash", path("/api//contacts"), "path_ambiguous"),
    ("two slashes behind", path("/api/contacts//"), "path_ambiguous"),
    ("dot", path("/api/./contacts"), "path_ambiguous"),
    ("dots", path("/api/x/../contacts"), "path_ambiguous"),
    ("dots last", path("/api/contacts/.."), "path_ambiguous"),
    ("three dots are a name", path("/api/contacts/..."), ok(family="contact")),
    ("encoded dot", path("/api/contacts/a%2Eb"), "path_ambiguous"),
    ("encoded slash", path("/api/contacts/a%2fb"), "path_ambiguous"),
    ("encoded backslash", path("/api/contacts/a%5Cb"), "path_ambiguous"),
    ("encoded semicolon", path("/api/contacts/a%3bb"), "path_ambiguous"),
    ("encoded nul", path("/api/contacts/a%00"), "path_ambiguous"),
    ("encoded delete", path("/api/contacts/a%7f"), "path_ambiguous"),
    ("encoded twice", path("/api/contacts/%2561"), "path_ambiguous"),
    ("encoded twice, digits escaped", path("/api/contacts/%25%36%31"), "path_ambiguous"),
    ("a percent sign", path("/api/contacts/100%25"), ok(family="contact")),
    ("a percent sign and a letter", path("/api/contacts/%25g1"), ok(family="contact")),
    ("half an escape", path("/api/contacts/%4"), "path_ambiguous"),
    ("not an escape", path("/api/contacts/%zz"), "path_ambiguous"),
    ("semicolon", path("/api/contacts;v=1"), "path_ambiguous"),
    ("backslash", path("/api\\contacts"), "path_ambiguous"),
    ("space", path("/api/contacts/a b"), "path_ambiguous"),
    ("raw nul", path("/api/contacts\x00"), "path_ambiguous"),
    ("encoded space", path("/api/contacts/a%20b"), ok(family="contact")),
    ("utf-8, half raw", path("/api/contacts/\xc3%A9"), ok(family="contact")),
    ("overlong", path("/api/contacts/%c0%ae"), "path_ambiguous"),
    ("surrogate", path("/api/contacts/%ed%a0%80"), "path_ambiguous"),
    ("beyond unicode", path("/api/contacts/%f4%90%80%80"), "path_ambiguous"),
    ("the last of unicode", path("/api/contacts/%f4%8f%bf%bf"), ok(family="contact")),
    ("escaped letter", path("/%61pi/contacts"), ok()),
    ("2048 bytes", path("/api/contacts/b/" + "a" * 2032), ok()),
    ("2049 bytes", path("/api/contacts/b/" + "a" * 2033), "path_ambiguous"),
    ("64 segments", path("/api/contacts" + "/a" * 62), ok()),
    ("65 segments", path("/api/contacts" + "/a" * 62 + "/"), "path_ambiguous"),
    ("credential before path", path("//", headers=bearer(token(999))), "credential_invalid"),
    ("path before route", path("/nowhere/.."), "path_ambiguous"),
    # 4. Route family
    ("nowhere", path("/nowhere"), "route_unknown"),
    ("case is kept", path("/API/contacts"), "route_unknown"),
    ("slash behind is another path", path("/api/me/"), "route_unknown"),
    ("slash behind under **", path("/api/contacts/"), ok()),
    ("{name} is before **", path("/api/contacts/7"), ok(family="contact")),
    ("without its method the next one decides", path("/api/contacts/7", method="PUT"), ok()),
    ("HEAD is not GET", path("/api/contacts/7", method="HEAD"), ok()),
    ("literal is before {name}", path("/api/contacts/export"), ok(family="export")),
    ("own entry is before *", path("/api/contacts/export", method="POST"), ok(family="export")),
    ("* for the others", path("/api/contacts/export", method="DELETE"), ok(family="export_rest")),
    ("from the left", path("/api/contacts/export/all"), ok()),
    ("** takes none", path("/trust"), ok(family="trust")),
    ("the left-most literal decides", path("/trust/v1/list"), ok(family="trust_v1")),
    ("back from a dead end", path("/trust/v1/x/y"), ok(family="trust")),
    ("method in lower case is one for *", path("/trust", method="get"), ok(family="trust")),
    ("no such method", path("/trust", method="G T"), "route_unknown"),
    ("method of 32", path("/trust", method="M" * 32), ok(family="trust")),
    ("method of 33", path("/trust", method="M" * 33), "route_unknown"),
    ("no method", path("/trust", method=""), "route_unknown"),
    # 5. and 6.
    ("kind", path("/people"), "kind_not_allowed"),
    ("kind before environment", path("/people", headers=SANDBOX), "kind_not_allowed"),
    ("environment", path("/live", headers=SANDBOX), "environment_mismatch"),
    ("sandbox elsewhere", request(headers=SANDBOX), ok(principal=SANDBOX["id"], environment="sandbox")),
    ("address", request(headers=FENCED, address="203.0.113.255"), ok(principal=FENCED["id"])),
    ("address mapped", request(headers=FENCED, address="::ffff:203.0.113.1"), ok(principal=FENCED["id"])),
    ("address of version 6", request(headers=FENCED, address="2001:db8:7fff::1"), ok(principal=FENCED["id"])),
    ("address outside", request(headers=FENCED, address="203.0.114.0"), "address_not_allowed"),
    ("address of version 6 outside", request(headers=FENCED, address="2001:db8:8000::1"), "address_not_allowed"),
    ("address not quite mapped", request(headers=FENCED, address="::203.0.113.1"), "address_not_allowed"),
    ("address unknown", request(headers=FENCED), "address_not_allowed"),
    ("address is nonsense", request(headers=FENCED, address="unknown"), "address_not_allowed"),
    # 7. Scopes
    ("scope", request(headers=READER, method="POST"), {"code": "scope_missing", "required_scope": "contacts:write"}),
    ("second of two scopes", path("/api/contacts/export", headers=READER),
     {"code": "scope_missing", "required_scope": "contacts:write"}),
    ("no scopes", path("/api/contacts/export", headers=POWERLESS),
     {"code": "scope_missing", "required_scope": "contacts:read"}),
    ("scope before tenant", named(READER, BLUE, method="POST"),
     {"code": "scope_missing", "required_scope": "contacts:write"}),
    # 8. Tenant
    ("its own, named", named(ORG_KEY, ACME), ok()),
    ("empty header", named(ORG_KEY, ""), ok()),
    ("empty and one", request(tenant_headers=["", SALES]), ok(tenant=SALES)),
    ("two headers", request(tenant_headers=[ACME, ACME]), "tenant_forbidden"),
    ("below", named(ORG_KEY, DIALER), ok(tenant=DIALER)),
    ("above", named(SUB_KEY, ACME), "tenant_forbidden"),
    ("beside", named(ORG_KEY, BLUE), "tenant_forbidden"),
    ("none such", named(ORG_KEY, "org_zzzzzzzzzzzzz"), "tenant_forbidden"),
    ("capitals", named(ORG_KEY, SALES.upper()), "tenant_forbidden"),
    ("65 bits", named(ORG_KEY, "sub_g000000000011"), "tenant_forbidden"),
    ("wrong prefix", named(ORG_KEY, "prj_0000000000011"), "tenant_forbidden"),
    ("suspended", named(ORG_KEY, ASLEEP), "tenant_forbidden"),
    ("below a suspended one", named(ORG_KEY, IN_ASLEEP), "tenant_forbidden"),
    ("deleted", named(ORG_KEY, GONE), "tenant_forbidden"),
    ("below a deleted one", named(ORG_KEY, IN_GONE), "tenant_forbidden"),
    ("personal is its user's", named(ORG_KEY, ANN), "tenant_forbidden"),
    ("the operator sees it", named(OPERATOR_KEY, ANN), operator_ok(tenant=ANN, organization=ACME)),
    ("the operator sees partners", named(OPERATOR_KEY, PARTNER), operator_ok(tenant=PARTNER)),
    ("not even the operator sees a suspended one", named(OPERATOR_KEY, RED_SUB), "tenant_forbidden"),
    ("refused and sent", named(ORG_KEY, ACME, path="/api/me"), "tenant_forbidden"),
    ("refused, not sent", path("/api/me"), ok(family="mine")),
    ("required, not sent", path("/strict"), "tenant_required"),
    ("required, empty", path("/strict", tenant_headers=[""]), "tenant_required"),
    ("required, two", path("/strict", tenant_headers=[ACME, SALES]), "tenant_forbidden"),
    ("required of partners, not sent", path("/partner/x", headers=PARTNER_KEY), "tenant_required"),
    ("required of partners, another kind", path("/partner/x"), ok(family="allocate")),
    ("partner, itself", request(headers=PARTNER_KEY), partner_ok()),
    ("partner, itself named", named(PARTNER_KEY, PARTNER), partner_ok()),
    ("partner, itself named where required", named(PARTNER_KEY, PARTNER, path="/partner/x"), "tenant_forbidden"),
    ("partner, an organization", named(PARTNER_KEY, ACME, path="/partner/x"),
     partner_ok(tenant=ACME, organization=ACME, visible=[ACME], family="allocate")),
    ("partner, below an organization", named(PARTNER_KEY, SALES), "tenant_forbidden"),
    ("partner, another's organization", named(PARTNER_KEY, BLUE), "tenant_forbidden"),
    ("partner, another partner", named(PARTNER_KEY, PARTNER_2), "tenant_forbidden"),
    ("partner, the operator", named(PARTNER_KEY, OPERATOR), "tenant_forbidden"),
    ("user", request(headers=ANN_KEY), ann_ok()),
    ("user, a membership", named(ANN_KEY, BLUE), ann_ok(tenant=BLUE, organization=BLUE)),
    ("user, below one that reaches", named(ANN_KEY, DIALER), ann_ok(tenant=DIALER)),
    ("user, below one that does not", named(ANN_KEY, BLUE_SUB), "tenant_forbidden"),
    ("user, organization of the personal one", named(ANN_KEY, ACME), "tenant_forbidden"),
    ("user, another's personal one", named(ANN_KEY, BOB), "tenant_forbidden"),
    ("user, membership of a suspended one", named(ANN_KEY, ASLEEP), "tenant_forbidden"),
    # Inherited
    ("inherited by a project", path("/trust", headers=PROJECT_KEY),
     project_ok(family="trust", inherited=[SALES_EU, SALES, ACME])),
    ("inherited for HEAD", path("/trust", headers=SUB_KEY, method="HEAD"), sub_ok(family="trust", inherited=[ACME])),
    ("not for writing", path("/trust", headers=SUB_KEY, method="POST"), sub_ok(family="trust")),
    ("not to an organization", path("/trust"), ok(family="trust")),
    ("not above any", path("/trust", headers=OPERATOR_KEY), operator_ok(family="trust")),
    ("from the effective tenant", named(ORG_KEY, SALES_EU, path="/trust"),
     ok(tenant=SALES_EU, family="trust", inherited=[SALES, ACME])),
    ("by a personal one", path("/trust", headers=ANN_KEY), ann_ok(family="trust", inherited=[ACME])),
    ("operator's tenant key", named(OPERATOR_TENANT_KEY, BLUE_PROJECT, path="/strict"),
     operator_ok(principal=OPERATOR_TENANT_KEY["id"], kind="tenant", tenant=BLUE_PROJECT, organization=BLUE,
                 family="strict", inherited=[BLUE])),
]


def limited(after_ms, **changes):
    return request(headers=LIMITED, now_ms=NOW + after_ms, **changes)


def left(remaining):
    return ok(principal=LIMITED["id"], remaining=remaining)


def wait(seconds):
    return {"code": "rate_limited", "retry_after_s": seconds}


# 3 requests in 10 s: T is 3,333,333,333 ns, so three in a row leave one nanosecond.
CASES += [
    ("a session as the console's cookie", cookie(), session_ok()),
    ("a session's token as Bearer", request(headers=bearer(SESSION)), "credential_invalid"),
    ("a session's token as X-API-Key", request(headers=[["X-API-Key", SESSION["token"]]]), "credential_invalid"),
    ("a session's token where keys go", request(headers=[["X-Ten", SESSION["token"]]]), "credential_invalid"),
    ("a key where sessions go", request(headers=[["X-Cookie", ORG_KEY["token"]]]), "credential_invalid"),
    ("a session that was ended", cookie(ENDED), "credential_invalid"),
    ("a session past its end", cookie(OVER), "credential_expired"),
    ("a session past its end as Bearer", request(headers=bearer(OVER)), "credential_expired"),
    ("a session just before its end", cookie(OVER, now_ms=NOW - 1), session_ok()),
    ("a session of a disabled user", cookie(BOBS_SESSION), "credential_invalid"),
    ("a session where none is taken", cookie(path="/live"), "kind_not_allowed"),
    ("a session where nothing else is taken", cookie(path="/people"), session_ok(family="people")),
    ("a session where its user is administrator", cookie(tenant_headers=[SALES]),
     session_ok(tenant=SALES, scopes=["contacts:read", "contacts:write"])),
    ("a session below that", cookie(tenant_headers=[SALES_EU], method="POST"),
     session_ok(tenant=SALES_EU, scopes=["contacts:read", "contacts:write"], visible=[ANN, SALES, DIALER])),
    ("roles that cover one tenant add up", cookie(tenant_headers=[DIALER]), session_ok(tenant=DIALER)),
    ("a session where its user reads", cookie(tenant_headers=[BLUE]),
     session_ok(tenant=BLUE, organization=BLUE, scopes=["contacts:read"])),
    ("writing there", cookie(tenant_headers=[BLUE], method="POST"),
     {"code": "scope_missing", "required_scope": "contacts:write"}),
    ("below where the role does not reach", cookie(tenant_headers=[BLUE_SUB]), "tenant_forbidden"),
    ("where the user is nobody", cookie(tenant_headers=[PLAIN]), "tenant_forbidden"),
    ("where nobody could be", cookie(tenant_headers=["org_000000000002n"]), "tenant_forbidden"),
    ("a suspended tenant that one is a member of", cookie(tenant_headers=[ASLEEP]), "tenant_forbidden"),
    ("somebody else's personal tenant", cookie(tenant_headers=[BOB]), "tenant_forbidden"),
    ("the organization above", cookie(tenant_headers=[ACME]), "tenant_forbidden"),
    ("the own personal tenant by name", cookie(tenant_headers=[ANN]), session_ok()),
    ("a session that names two tenants", cookie(tenant_headers=[SALES, SALES]), "tenant_forbidden"),
    ("visible is where it may be done", cookie(method="POST"), session_ok(visible=[ANN, SALES, DIALER])),
    ("a JWT that nobody looked at", request(headers=bearer(JWT)), "credential_invalid"),
    ("a JWT with a bad signature", jwt("session", SESSION, result="invalid"), "credential_invalid"),
    ("a JWT of a session", jwt("session", SESSION), session_ok()),
    ("a JWT of a session that was ended", jwt("session", ENDED), "credential_invalid"),
    ("a JWT of a session past its end", jwt("session", OVER), "credential_expired"),
    ("a JWT past its own end", jwt("session", SESSION, expires_ms=NOW), "credential_expired"),
    ("a JWT just before it", jwt("session", SESSION, expires_ms=NOW + 1), session_ok()),
    ("a JWT past its end of a disabled user", jwt("session", BOBS_SESSION, expires_ms=NOW), "credential_expired"),
    ("a JWT in the place of a cookie", jwt("session", SESSION, {"headers": [["X-Cookie", JWT]]}), session_ok()),
    ("a JWT where keys go", jwt("session", SESSION, {"headers": [["X-Ten", JWT]]}), "credential_invalid"),
    ("a JWT in Basic", jwt("session", SESSION, {"headers": basic("x:" + JWT)}), "credential_malformed"),
    ("a JWT of a key", jwt("key", ORG_KEY), ok()),
    ("a JWT of a key where keys go", jwt("key", ORG_KEY, {"headers": [["X-Ten", JWT]]}), ok()),
    ("a JWT of a revoked key", jwt("key", REVOKED, expires_ms=NOW - 9), "credential_invalid"),
    ("a JWT of a key past its end", jwt("key", EXPIRING), "credential_expired"),
    ("a JWT of a key that was rotated", jwt("key", ROTATED), "credential_invalid"),
    ("a JWT of a key that says session", jwt("session", ORG_KEY), "credential_invalid"),
    ("a JWT of a session that says key", jwt("key", SESSION), "credential_invalid"),
    ("a JWT of nothing", jwt("key", {"token": token(999)}), "credential_invalid"),
    ("the addresses of a JWT's key", jwt("key", FENCED), "address_not_allowed"),
    ("the environment of a JWT's key", jwt("key", SANDBOX, {"path": "/live"}), "environment_mismatch"),
    ("the scopes of a JWT's key", jwt("key", READER, {"method": "POST"}),
     {"code": "scope_missing", "required_scope": "contacts:write"}),
    ("a JWT narrowed to a scope", jwt("key", ORG_KEY, scopes=["contacts:read", "billing:partner:allocate"]),
     ok(scopes=["contacts:read"])),
    ("a JWT narrowed to another scope", jwt("key", ORG_KEY, scopes=["contacts:write"]),
     {"code": "scope_missing", "required_scope": "contacts:read"}),
    ("a session's JWT narrowed to a scope", jwt("session", SESSION, scopes=["contacts:read"]),
     session_ok(scopes=["contacts:read"])),
    ("a JWT narrowed to the family", jwt("key", ORG_KEY, family="contacts"), ok()),
    ("a JWT narrowed to another family", jwt("key", ORG_KEY, family="contact"),
     {"code": "scope_missing", "required_scope": "contacts:read"}),
    ("a JWT narrowed to a tenant", jwt("key", ORG_KEY, tenant=SALES), ok(tenant=SALES, visible=[SALES])),
    ("below it", jwt("key", ORG_KEY, {"tenant_headers": [DIALER]}, tenant=SALES), ok(tenant=DIALER, visible=[SALES])),
    ("above it", jwt("key", ORG_KEY, {"tenant_headers": [ACME]}, tenant=SALES), "tenant_forbidden"),
    ("a JWT's tenant is a tenant that was named", jwt("key", ORG_KEY, {"path": "/strict"}, tenant=SALES),
     ok(tenant=SALES, visible=[SALES], family="strict", inherited=[ACME])),
    ("a JWT for what its key does not see", jwt("key", ORG_KEY, tenant=BLUE), "credential_invalid"),
    ("a JWT for what is suspended", jwt("key", ORG_KEY, tenant=ASLEEP), "credential_invalid"),
    ("a JWT for a personal tenant of others", jwt("key", ORG_KEY, tenant=ANN), "credential_invalid"),
    ("a JWT for what is not there", jwt("key", ORG_KEY, tenant="org_000000000002n"), "credential_invalid"),
    ("a partner's JWT for one organization", jwt("key", PARTNER_KEY, {"path": "/partner/x"}, tenant=ACME),
     ok(principal=PARTNER_KEY["id"], kind="partner", family="allocate")),
    ("a partner's JWT below an organization", jwt("key", PARTNER_KEY, tenant=SALES), "credential_invalid"),
    ("a session's JWT for one tenant", jwt("session", SESSION, tenant=BLUE),
     session_ok(tenant=BLUE, organization=BLUE, visible=[BLUE], scopes=["contacts:read"])),
    ("its scopes are those there", jwt("session", SESSION, {"method": "POST"}, tenant=BLUE),
     {"code": "scope_missing", "required_scope": "contacts:write"}),
    ("nothing else is seen with it", jwt("session", SESSION, {"tenant_headers": [SALES]}, tenant=BLUE),
     "tenant_forbidden"),
    ("an issuer's JWT", jwt("issuer", ISSUER, roles=["account_reader"]), issuer_ok(scopes=["contacts:read"])),
    ("an issuer's JWT does not reach below", jwt("issuer", ISSUER, {"tenant_headers": [SALES]}, roles=["account_reader"]),
     "tenant_forbidden"),
    ("an issuer's administrator does", jwt("issuer", ISSUER, {"tenant_headers": [SALES]}, roles=["administrator"]),
     issuer_ok(tenant=SALES, scopes=["contacts:read", "contacts:write"])),
    ("but not into a personal tenant", jwt("issuer", ISSUER, {"tenant_headers": [ANN]}, roles=["administrator"]),
     "tenant_forbidden"),
    ("nor with what does not reach below",
     jwt("issuer", ISSUER, {"tenant_headers": [SALES], "method": "POST"}, roles=["administrator", "clerk"]),
     issuer_ok(tenant=SALES, scopes=["contacts:read", "contacts:write"])),
    ("an issuer's JWT for a tenant", jwt("issuer", ISSUER, tenant=SALES, roles=["member"]),
     issuer_ok(tenant=SALES, visible=[SALES], scopes=["contacts:read"])),
    ("an issuer's JWT for its organization's user", jwt("issuer", ISSUER, tenant=ANN, roles=["administrator"]),
     "credential_invalid"),
    ("an issuer's JWT for another organization", jwt("issuer", ISSUER, tenant=BLUE, roles=["administrator"]),
     "credential_invalid"),
    ("an issuer's JWT without roles", jwt("issuer", ISSUER),
     {"code": "scope_missing", "required_scope": "contacts:read"}),
    ("an issuer's JWT with a role that is none", jwt("issuer", ISSUER, roles=["king"]),
     {"code": "scope_missing", "required_scope": "contacts:read"}),
    ("a JWT of an issuer that was removed", jwt("issuer", ISSUER_GONE, roles=["administrator"]), "credential_invalid"),
    ("a JWT of no issuer", jwt("issuer", "iss_0000000000053", roles=["administrator"]), "credential_invalid"),
]

SEQUENCES = [
    ("a burst, then one at a time", [
        (limited(0), left(2)),
        (limited(0), left(1)),
        (limited(0), left(0)),
        (limited(0), wait(4)),
        (limited(1000), wait(3)),
        (limited(3333), wait(1)),
        (limited(3334), left(0)),
        (limited(3334), wait(4)),
        (limited(60_000), left(2)),
    ]),
    ("what an earlier step refuses uses nothing", [
        (limited(0), left(2)),
        (limited(0, path="/nowhere"), "route_unknown"),
        (limited(0, tenant_headers=[BLUE]), "tenant_forbidden"),
        (limited(0), left(1)),
    ]),
    ("what is limited uses nothing, and the clock may go back", [
        (limited(0), left(2)),
        (limited(0), left(1)),
        (limited(0), left(0)),
        (limited(-5000), wait(9)),
        (limited(0), wait(4)),
        (limited(3334), left(0)),
    ]),
]


def written_out(answer):
    return {"code": answer} if isinstance(answer, str) else answer


def run_case(case):
    name, asked, answer, *changes = case
    world = model.World({**WORLD, **(changes[0] if changes else {})})
    return name, written_out(answer), model.decide(world, asked)


def run_sequence(sequence):
    name, steps = sequence
    world = model.World(WORLD)
    answers = [model.decide(world, asked) for asked, _ in steps]
    return name, [written_out(answer) for _, answer in steps], answers


def run_all():
    return [run_case(case) for case in CASES] + [run_sequence(sequence) for sequence in SEQUENCES]


def count():
    return len(CASES) + len(SEQUENCES)


# A hook in place of pytest.mark, so that compare.py --selftest needs no pytest.
def pytest_generate_tests(metafunc):
    for argument, table in (("case", CASES), ("sequence", SEQUENCES)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, table, ids=[entry[0] for entry in table])


def test_case(case):
    _, expected, answer = run_case(case)
    assert answer == expected


def test_sequence(sequence):
    _, expected, answers = run_sequence(sequence)
    assert answers == expected


def test_names_of_the_cases_are_unique():
    names = [case[0] for case in CASES]
    assert len(names) == len(set(names))
