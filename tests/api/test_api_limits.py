"""What a key is limited by besides its scopes: addresses, behind so many trusted proxies, and its rate, to the last
request."""
import collections
import http.client
import re
import subprocess
import threading

import pytest

from api_service import Api, eventually, keystile

CONTACTS = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/contacts"}


# ---- addresses ----


@pytest.fixture(
    scope="module",
    params=[
        {"KEYSTILE_PROXIES_COUNT": "2"},
        {"KEYSTILE_PROXIES_TRUSTED": "127.0.0.0/8,10.0.0.0/8"},
        {"KEYSTILE_PROXIES_COUNT": "2", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1,10.0.0.0/8"},
    ],
    ids=["count", "ranges", "both"],
)
def behind(request):
    """A service behind two proxies: the peer, and one before it."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=request.param) as daemon:
        yield Api(daemon, daemon.first_key)


ALLOWED = ["203.0.113.0/24", "198.51.100.7", "2001:db8::/32", "2001:db9::1"]
FIRST_PROXY = "10.1.2.3"

GOOD = [
    "203.0.113.0",
    "203.0.113.255",
    "198.51.100.7",
    "2001:db8::",
    "2001:db8:ffff:ffff::1",
    "2001:DB8::A",
    "2001:0db8:0:0::1",
    "2001:db9::1",
    "::ffff:203.0.113.9",
    "203.0.113.9:51234",
    "[2001:db8::1]:51234",
]
BAD = [
    "203.0.112.255",
    "203.0.114.0",
    "198.51.100.8",
    "2001:db7:ffff::1",
    "2001:db9::2",
    "::ffff:203.0.114.9",
    "::203.0.113.9",
    "[2001:db9::2]:443",
    "203.0.113.009",
    "203.0.113",
    "3405803785",
    "0xcb.0.113.9",
    "fe80::1%eth0",
    "unknown",
    "",
    "203.0.113.9 x",
]
ADDRESSES = [*((a, True) for a in GOOD), *((a, False) for a in BAD)]


def test_address_lists_behind_two_proxies(behind):
    key = behind.make_key(scopes=["contacts:read"], addresses=ALLOWED)
    assert set(key["addresses"]) == {"203.0.113.0/24", "198.51.100.7/32", "2001:db8::/32", "2001:db9::1/128"}
    for address, good in ADDRESSES:
        for forged in ("", "203.0.113.9, ", "203.0.113.9, 198.51.100.7, ", "x, "):
            told = f"{forged}{address}, {FIRST_PROXY}"
            answer = behind.daemon.call(
                "GET", "/v1/authorize", headers={**CONTACTS, "X-Forwarded-For": told}, token=key["token"]
            )
            if good:
                assert answer.status == 200, told
            else:
                assert (answer.status, answer.code) == (403, "address_not_allowed"), told


def test_who_comes_without_the_first_proxy(behind):
    """Fewer entries than proxies: the last one that is told was seen by a proxy; what a client adds is left of it."""
    key = behind.make_key(scopes=["contacts:read"], addresses=ALLOWED)["token"]

    def code(told):
        return behind.daemon.call(
            "GET", "/v1/authorize", headers={**CONTACTS, **({"X-Forwarded-For": told} if told else {})}, token=key
        ).code

    assert code("203.0.113.9") is None
    for told in (None, "192.0.2.1", "127.0.0.1", FIRST_PROXY):
        assert code(told) == "address_not_allowed"


def test_several_fields_are_one_list(behind):
    key = behind.make_key(scopes=["contacts:read"], addresses=ALLOWED)["token"]
    with_lists = [
        (["203.0.113.9", FIRST_PROXY], True),
        (["192.0.2.1, 203.0.113.9", FIRST_PROXY], True),
        (["203.0.113.9, " + FIRST_PROXY], True),
        (["203.0.113.9", f"192.0.2.1, {FIRST_PROXY}"], False),
        (["203.0.113.9", "192.0.2.1", FIRST_PROXY], False),
    ]
    for fields, good in with_lists:
        connection = http.client.HTTPConnection("127.0.0.1", behind.daemon.port, timeout=keystile.PATIENCE_S)
        connection.putrequest("GET", "/v1/authorize")
        for name, value in [
            *CONTACTS.items(),
            ("Authorization", f"Bearer {key}"),
            *(("X-Forwarded-For", f) for f in fields),
        ]:
            connection.putheader(name, value)
        connection.endheaders()
        assert (connection.getresponse().status == 200) == good, fields
        connection.close()


def test_the_address_that_is_kept(behind):
    """The audit and the key's record tell the client's address, not a proxy's, nor a forged one."""
    told = {"X-Forwarded-For": f"203.0.113.1, 192.0.2.55, {FIRST_PROXY}"}
    key = behind.call(
        "POST", "/v1/keys", {"name": "k", "scopes": ["contacts:read"], "expires_at": None}, told, expect=201
    ).json
    entry = behind.get("/v1/audit?action=key.create&limit=1").json["items"][0]
    assert (entry["object"], entry["address"]) == (key["id"], "192.0.2.55")
    assert behind.daemon.call("GET", "/v1/authorize", headers={**CONTACTS, **told}, token=key["token"]).status == 200
    eventually(lambda: behind.get(f"/v1/keys/{key['id']}").json["last_used_address"], "192.0.2.55")


def test_clients_within_the_proxies_ranges_are_clients_where_proxies_are_counted():
    env = {"KEYSTILE_PROXIES_COUNT": "1", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1,10.0.0.0/8"}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        operator = Api(daemon, daemon.first_key)
        key = operator.make_key(scopes=["contacts:read"], addresses=["203.0.113.9"])["token"]
        inside = operator.make_key(scopes=["contacts:read"], addresses=["10.9.9.9"])["token"]
        told = {**CONTACTS, "X-Forwarded-For": "203.0.113.9, 10.9.9.9"}
        assert daemon.call("GET", "/v1/authorize", headers=told, token=key).code == "address_not_allowed"
        assert daemon.call("GET", "/v1/authorize", headers=told, token=inside).status == 200


def test_without_trusted_proxies_the_peer_is_the_client(daemon, operator):
    key = operator.make_key(scopes=["contacts:read"], addresses=["203.0.113.9"])["token"]
    peer = operator.make_key(scopes=["contacts:read"], addresses=["127.0.0.1"])["token"]
    told = {**CONTACTS, "X-Forwarded-For": "203.0.113.9"}
    assert daemon.call("GET", "/v1/authorize", headers=told, token=key).code == "address_not_allowed"
    assert daemon.call("GET", "/v1/authorize", headers=told, token=peer).status == 200


@pytest.mark.parametrize("value", ["-1", "33", "two", "", "1.5"])
def test_a_count_that_is_none_is_refused(tmp_path, value):
    done = keystile.run("config", "show", env={"KEYSTILE_PROXIES_COUNT": value}, data=tmp_path / "data")
    assert done.code == 1 and "proxies.count" in done.err, done


# ---- rates ----

THREADS = 8
LONG = 2592000  # seconds in which nothing that a test can see is given back


def together(daemon, token, times, **headers):
    """All answers of THREADS connections that ask at the same time, `times` each."""
    answers, barrier = [], threading.Barrier(THREADS)

    def one():
        client = daemon.client(token)
        barrier.wait()
        mine = [client.call("GET", "/v1/authorize", headers={**CONTACTS, **headers}) for _ in range(times)]
        client.close()
        answers.extend(mine)

    threads = [threading.Thread(target=one) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("requests", [1, 7, 500])
def test_exactly_so_many_are_allowed_however_many_ask_at_once(daemon, world, operator, requests):
    key = operator.make_key(
        tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": requests, "window_s": LONG}
    )["token"]
    answers = together(daemon, key, requests // THREADS * 2 + 3)
    assert collections.Counter(a.status for a in answers) == {200: requests, 429: len(answers) - requests}
    left = [int(re.fullmatch(r'"key";r=(\d+);t=\d+', a.headers["RateLimit"])[1]) for a in answers if a.status == 200]
    # Each allowed request has its own place.
    assert sorted(left) == list(range(requests))
    for answer in answers:
        assert answer.headers["RateLimit-Policy"] == f'"key";q={requests};w={LONG}'
        if answer.status == 429:
            assert answer.code == "rate_limited" and answer.headers["WWW-Authenticate"] is None
            assert 0 < int(answer.headers["Retry-After"]) <= LONG // requests + 1
            assert answer.headers["RateLimit"].startswith('"key";r=0;')


def test_exactly_so_many_in_all_processes_together(daemon, world, operator):
    """The service and servers that decide by the ring themselves count the same requests."""
    limit = {"requests": 700, "window_s": LONG}
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit=limit)["token"]
    program = [str(keystile.BUILD / "tests" / "durability" / "ring_reader"), str(daemon.data / "ring")]
    readers = [
        subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=keystile.environment())
        for _ in range(3)
    ]
    told = []
    threads = [
        threading.Thread(target=lambda r=r: told.extend(r.communicate(400 * f"decide {key}\n", 60)[0].split()))
        for r in readers
    ]
    for thread in threads:
        thread.start()
    answers = together(daemon, key, 50)
    for thread in threads:
        thread.join()
    codes = collections.Counter([*told, *(a.code or "ok" for a in answers)])
    assert codes == {"ok": 700, "rate_limited": 3 * 400 + THREADS * 50 - 700}


def test_keys_are_limited_each_for_itself(daemon, world, operator):
    keys = [
        operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 3, "window_s": LONG})[
            "token"
        ]
        for _ in range(3)
    ]
    for key in keys:
        assert [daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key).status for _ in range(4)] == [
            200,
            200,
            200,
            429,
        ]


def test_what_is_refused_otherwise_uses_nothing_up(daemon, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 2, "window_s": LONG})[
        "token"
    ]
    for _ in range(10):
        assert daemon.authorize(key, "DELETE").code == "scope_missing"
        assert daemon.authorize(key, uri="/nowhere").code == "route_unknown"
        assert daemon.authorize(key, headers={"X-Tenant-Id": world.other}).code == "tenant_forbidden"
    assert [daemon.authorize(key).status for _ in range(3)] == [200, 200, 403]


def test_a_limited_key_is_let_in_again(daemon, world, operator):
    """429 says when, and then it is so."""
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 5, "window_s": 1})[
        "token"
    ]
    limited = next(
        a
        for a in (daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key) for _ in range(100000))
        if a.status != 200
    )
    assert (limited.status, limited.headers["Retry-After"]) == (429, "1")
    eventually(lambda: daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key).status, 200)


def test_a_limited_key_that_is_revoked_is_unauthorized(daemon, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 1, "window_s": LONG})
    assert [daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key["token"]).status for _ in range(2)] == [
        200,
        429,
    ]
    operator.delete(f"/v1/keys/{key['id']}")
    assert daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key["token"]).code == "credential_invalid"


def test_a_rate_is_kept_when_the_ring_is_built_anew(daemon, world, operator):
    """Neither other keys' changes nor a rebuild give a used-up rate back."""
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 2, "window_s": LONG})[
        "token"
    ]
    assert [daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key).status for _ in range(3)] == [
        200,
        200,
        429,
    ]
    for _ in range(5):
        operator.make_key(tenant=world.acme)
    world.owner.post("/v1/ring/rebuild", {}, expect=200)
    assert daemon.call("GET", "/v1/authorize", headers=CONTACTS, token=key).status == 429
