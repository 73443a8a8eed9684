"""/v1/audit/export, /checkpoint, /proof and /check, held against the description; what they prove is tested in
tests/audit."""
from api_service import unique


def test_every_answer_is_as_described(world, operator):
    entry = operator.get("/v1/audit?limit=1").json["items"][0]["id"]
    for target in ("export?format=jsonl", "export?format=csv", "checkpoint", "checkpoint?format=note", "checkpoint?size=1",
                   f"proof?entry={entry}", "proof?from_size=1", f"checkpoint?tenant={world.acme}"):
        assert operator.get(f"/v1/audit/{target}").body
    assert operator.call("HEAD", "/v1/audit/checkpoint").status == 200
    report = world.owner.post("/v1/audit/check", expect=200).json
    assert report["equal"] and report["trees"] >= 2 and report["entries"] > 2


def test_refusals_are_as_described(world, operator):
    for target in ("export", "export?format=xml", "checkpoint?size=no", "checkpoint?size=999999999", "proof", "proof?entry=x",
                   f"export?format=csv&tenant={unique('org')}"):
        operator.get(f"/v1/audit/{target}", expect=400)
    operator.get("/v1/audit/proof?entry=aud_0123456789abc", expect=404, code="not_found")
    operator.get("/v1/audit/checkpoint?tenant=org_0m6xwq3k2r4t8", expect=403, code="tenant_forbidden")
    operator.call("POST", "/v1/audit/check", expect=404, code="not_found")
