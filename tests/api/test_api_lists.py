"""Lists of many: a page looks at a bounded number of keys and says where to go on; the pages together are exactly what a naive reading
of all keys gives, for every filter and every caller."""
import hashlib
import itertools

import pytest

import keystile

from api_service import World, lines

KEYS = 1400          # more than the pages of one answer look at
TENANTS = 60         # more than are merged


@pytest.fixture(scope="module")
def world():
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        yield World(daemon)


def read(caller, target, limit):
    """All items, page by page. Not held against the description: there are very many, and other tests do that."""
    client = caller.daemon.client(caller.token)
    items, cursor = [], ""
    while cursor is not None:
        more = f"limit={limit}{'&cursor=' + cursor if cursor else ''}"
        answer = client.call("GET", f"{target}{'&' if '?' in target else '?'}{more}")
        assert answer.status == 200 and len(answer.json["items"]) <= limit
        items += answer.json["items"]
        cursor = answer.json["next"]
    client.close()
    return items


def ids(items):
    return [i["id"] for i in items]


@pytest.fixture(scope="module")
def many(world):
    """Keys of an organization with many sub-entities, and of a partner with many organizations; two of three are old."""
    deep = [world.acme] + [world.operator.make_tenant("sub_entity", world.acme)["id"] for _ in range(TENANTS)]
    wide = [world.operator.make_tenant("organization", world.partner)["id"] for _ in range(TENANTS)]
    places = itertools.cycle(deep + wide)
    records = [{"name": f"{'needle' if i % 97 == 0 else 'straw'} {i}", "tenant": next(places), "scopes": [], "expires_at": None,
                "environment": "sandbox" if i % 50 == 0 else "live", "prefix": "old", "last_four": "abcd",
                "sha256": hashlib.sha256(f"lists-{i}".encode()).hexdigest()} for i in range(KEYS)]
    world.operator.post("/v1/keys/import", lines(*records), expect=200, headers={"Content-Type": "application/x-ndjson"})
    keys = read(world.operator, "/v1/keys", 500)
    for key in keys[-20::-201]:
        world.operator.delete(f"/v1/keys/{key['id']}")
    world.owner.make_key(kind="runtime", tenant=world.root, scopes=["runtime:events"])
    return {"deep": set(deep), "wide": set(wide)}


CALLERS = ("operator", "acme", "sub", "partner")
FILTERS = {"": lambda k: True, "q=needle": lambda k: "needle" in k["name"], "q=nosuch": lambda k: False,
           "status=revoked": lambda k: k["status"] == "revoked", "status=active": lambda k: k["status"] == "active",
           "status=expired": lambda k: False, "environment=sandbox": lambda k: k["environment"] == "sandbox",
           "kind=runtime": lambda k: k["kind"] == "runtime", "kind=partner": lambda k: k["kind"] == "partner",
           "kind=tenant&environment=sandbox&q=straw": lambda k: k["environment"] == "sandbox" and "straw" in k["name"]
           and k["kind"] == "tenant", "unused_since=2099-01-01T00:00:00Z": lambda k: True,
           "status=revoked&environment=sandbox": lambda k: k["status"] == "revoked" and k["environment"] == "sandbox"}


@pytest.fixture(scope="module")
def callers(world, many):
    return {"operator": world.operator, "acme": world.caller(world.acme), "sub": world.caller(world.sub),
            "partner": world.caller(world.partner)}


@pytest.fixture(scope="module")
def everything(world, callers):
    return read(world.operator, "/v1/keys", 500)


def sees(world, many, caller, key):
    below_acme = many["deep"] | {world.sub, world.nested, world.project}
    return {"operator": True, "acme": key["tenant"] in below_acme, "sub": key["tenant"] in (world.sub, world.nested),
            "partner": key["tenant"] in many["wide"] | {world.partner, world.first, world.second}}[caller]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("query", FILTERS)
def test_pages_are_what_a_naive_reading_gives(world, many, callers, everything, caller, query):
    wanted = [k for k in everything if sees(world, many, caller, k) and FILTERS[query](k)]
    assert ids(read(callers[caller], f"/v1/keys?{query}" if query else "/v1/keys", 100)) == ids(wanted)


@pytest.mark.parametrize("place, name", [("acme", "deep"), ("partner", "wide")])
@pytest.mark.parametrize("query", ["", "&q=needle", "&status=revoked"])
def test_below(world, many, everything, place, name, query):
    listed = read(world.operator, f"/v1/keys?tenant={getattr(world, place)}&below=true{query}", 50)
    wanted = [k for k in everything if sees(world, many, place, k) and FILTERS[query.removeprefix("&")](k)]
    assert ids(listed) == ids(wanted)


def test_a_page_looks_at_a_bounded_number(world, callers):
    """With nothing to be found, there are as many pages as it takes to look at all, and no more."""
    pages, cursor = 0, ""
    while cursor is not None:
        answer = world.operator.get(f"/v1/keys?q=nosuch&limit=500{'&cursor=' + cursor if cursor else ''}").json
        assert answer["items"] == []
        cursor, pages = answer["next"], pages + 1
    assert 3 <= pages <= 4


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("query", ["kind=organization", "kind=sub_entity", "kind=project", "kind=partner"])
def test_tenants_by_kind(world, callers, caller, query):
    whole = read(callers[caller], "/v1/tenants", 500)
    assert read(callers[caller], f"/v1/tenants?{query}", 7) == [t for t in whole if t["kind"] == query.removeprefix("kind=")]


@pytest.mark.parametrize("action", ["tenant.suspend", "key.revoke", "nosuch"])
def test_audit_by_action(world, callers, action):
    whole = read(world.operator, "/v1/audit", 500)
    assert read(world.operator, f"/v1/audit?action={action}", 3) == [e for e in whole if e["action"] == action]


def test_the_command_line_goes_on_by_itself(world, callers):
    with_needle = keystile.run("keys", "list", "--query", "needle 0", "--json", data=world.daemon.data).json
    assert [k["name"] for k in with_needle["items"]] == ["needle 0"] and with_needle["next"] is None
    first = keystile.run("keys", "list", "--query", "needle", "--limit", "3", "--json", data=world.daemon.data).json
    rest = keystile.run("keys", "list", "--query", "needle", "--limit", "500", "--cursor", first["next"], "--json", data=world.daemon.data).json
    assert len(first["items"]) == 3 and len(first["items"] + rest["items"]) == len(range(0, KEYS, 97)) and rest["next"] is None
    assert "--cursor" in keystile.run("keys", "list", "--query", "needle", "--limit", "3", data=world.daemon.data).err
    assert keystile.run("keys", "list", "--limit", "501", data=world.daemon.data).code == 1
