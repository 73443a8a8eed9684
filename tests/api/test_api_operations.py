"""livez, readyz, metrics, the description itself, and what the local socket alone may do."""
import re
import sqlite3

import pytest

import keystile

from api_service import Api, pointers


@pytest.fixture(scope="module")
def anybody(daemon):
    return Api(daemon)


def test_livez_and_readyz(anybody):
    assert anybody.get("/livez").json == {"status": "live"}
    assert anybody.get("/readyz").json == {"status": "ready"}


def test_description(anybody):
    answer = anybody.get("/openapi.yaml")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert answer.body == (keystile.SOURCE / "src" / "api" / "openapi.yaml").read_bytes()


# ---- metrics ----

SAMPLE = re.compile(r'^([a-z_]+)(\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})? ([0-9.]+)$')
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"], "histogram": ["_bucket", "_sum", "_count"]}


def scrape(anybody):
    """Samples by name and labels, of a text that is held against OpenMetrics 1.0.0."""
    answer = anybody.get("/metrics")
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    samples, family, types, units = {}, None, {}, {}
    for line in text.splitlines()[:-1]:
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            assert kind in ("HELP", "TYPE", "UNIT") and rest
            if name != family:
                assert name not in types, f"{name} comes twice"
                family = name
            if kind == "TYPE":
                types[name] = rest
            if kind == "UNIT":
                assert name.endswith("_" + rest)
                units[name] = rest
            continue
        name, labels, value = SAMPLE.match(line).groups()
        assert name in [family + suffix for suffix in SUFFIXES[types[family]]], line
        assert (name, labels) not in samples, line
        samples[name, labels] = float(value)
    return samples


def test_metrics(world, anybody):
    before = scrape(anybody)
    key = world.operator.make_key(tenant=world.acme, scopes=["contacts:read"])["token"]
    for _ in range(3):
        world.daemon.authorize(key)
    world.daemon.authorize(key, "POST")
    world.daemon.authorize("ks_" + 32 * "0")
    after = scrape(anybody)

    def rise(name, labels=None):
        return after[name, labels] - before[name, labels]

    assert rise("keystile_decisions_total", '{code="ok"}') == 3
    assert rise("keystile_decisions_total", '{code="scope_missing"}') == 1
    assert rise("keystile_decisions_total", '{code="credential_invalid"}') == 1
    assert rise("keystile_keys") == 1 and rise("keystile_commits_total") >= 1
    assert after["keystile_ready", None] == 1 and after["process_resident_memory_bytes", None] > 0


def test_metrics_name_no_tenant_and_no_key(world, anybody):
    body = anybody.get("/metrics").body.decode()
    assert not re.search(r"(opr|prt|org|sub|prj|per|usr|key)_[0-9a-hjkmnp-tv-z]{13}", body)


# ---- the local socket ----

def test_the_owner_acts_with_everything(world):
    assert world.owner.get("/v1/account").json["principal"] == "local"
    assert {t["id"] for t in world.owner.pages("/v1/tenants", 100)} >= {world.root, world.partner, world.nested}


def test_ring(world):
    ring = world.owner.get("/v1/ring").json
    assert ring["ready"] and ring["keys"] > 0 and ring["key_slots"] >= ring["keys"]
    rebuilt = world.owner.post("/v1/ring/rebuild", expect=200).json
    assert rebuilt["generation"] > ring["generation"] and rebuilt["rebuilds"] == ring["rebuilds"] + 1
    assert rebuilt["keys"] == ring["keys"]


def test_progress_of_no_work(world):
    world.owner.post("/v1/ring/rebuild", expect=200)
    world.owner.post("/v1/ring/check", expect=200)
    assert world.owner.get("/v1/progress").json == {"work": None, "done": 0, "all": 0}


def test_keys_go_on_after_a_rebuild(world):
    made = world.operator.make_key(tenant=world.acme, scopes=["contacts:read"])["token"]
    world.owner.post("/v1/ring/rebuild", {}, expect=200)
    assert world.daemon.authorize(made).status == 200


def test_backup(world, tmp_path):
    path = tmp_path / "copy.db"
    assert world.owner.post("/v1/backup", {"path": str(path)}, expect=200).json == {"path": str(path)}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM keys").fetchone()[0] > 0
    world.owner.post("/v1/backup", {"path": str(path)}, expect=409, code="conflict")


@pytest.mark.parametrize("body, pointer", [({}, "/path"), ({"path": 1}, "/path"), ({"path": ""}, "/path"),
                                           ({"path": "copy.db"}, "/path"),
                                           ({"path": "/no/such/folder/copy.db"}, "/path"),
                                           ({"path": 5000 * "/x"}, "/path"),
                                           ({"path": "/tmp/x", "y": 1}, "/y")])
def test_backup_with_wrong_input(world, body, pointer):
    assert pointers(world.owner.post("/v1/backup", body, expect=422, code="invalid")) == [pointer]


def test_explain(world):
    made = world.operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    question = {"credential": made["token"], "method": "POST", "path": "/api/v1/contacts"}
    answer = world.owner.post("/v1/explain", question, expect=200).json
    assert (answer["allow"], answer["code"], answer["required_scope"]) == (False, "scope_missing", "contacts:write")
    verdicts = [s["verdict"] for s in answer["steps"]]
    assert verdicts.count("failed") == 1 and verdicts.index("failed") == 7
    assert world.owner.post("/v1/explain", {**question, "method": "GET"}, expect=200).json["allow"]


def test_ring_check(world):
    report = world.owner.post("/v1/ring/check", expect=200).json
    assert report["equal"] and report["differences"] == 0 and report["first"] is None
    assert report["keys"] > 0 and report["tenants"] >= 9
