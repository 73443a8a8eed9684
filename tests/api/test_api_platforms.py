"""/v1/platforms: the catalogue of what a provider can be, held against the files themselves."""
import pytest
import yaml

import keystile

FILES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in
         sorted((keystile.SOURCE / "platforms").glob("*.yaml"), key=lambda path: path.stem)}


@pytest.mark.parametrize("target,status,code", [
    ("/v1/platforms/nothing", 404, "not_found"), ("/v1/platforms/TWILIO", 404, "not_found"), ("/v1/platforms/" + "a" * 200, 404, "not_found"),
    ("/v1/platforms/twilio?a=b", 400, "query_malformed"), ("/v1/platforms?name=x", 400, "query_malformed"),
    ("/v1/platforms?limit=0", 400, "query_malformed"), ("/v1/platforms?cursor=x", 400, "query_malformed")])
def test_refusals(operator, target, status, code):
    operator.get(target, expect=status, code=code)


def test_nothing_is_changed_here(operator):
    operator.call("POST", "/v1/platforms", {}, expect=405, code="method_not_allowed")
    operator.call("DELETE", "/v1/platforms/twilio", expect=405, code="method_not_allowed")


def test_the_catalogue_says_what_the_files_say(operator):
    items = operator.pages("/v1/platforms", 500)
    assert [p["name"] for p in items] == list(FILES)
    for record in items:
        said = FILES[record["name"]]
        assert operator.get(f"/v1/platforms/{record['name']}").json == record
        assert (record["label"], record["about"], record["own"]) == (said["label"], said["about"], False)
        assert record["documentation"] == said.get("documentation")
        assert (record["probe"] or {}).get("kind") == said.get("probe", {}).get("kind")
        assert (record["webhook"] is None) == ("webhook" not in said)
        assert [f["name"] for f in record["fields"]] == list(said["fields"])
        for field in record["fields"]:
            wanted = said["fields"][field["name"]]
            assert (field["type"], field["label"], field["help"]) == (wanted["type"], wanted["label"], wanted.get("help"))
            assert field["secret"] == wanted.get("secret", wanted["type"] in ("secret", "file"))
            assert field["required"] == wanted.get("required", "default" not in wanted)
            assert field["format"] == wanted.get("format") and field["default"] == wanted.get("default")
            if "pattern" in wanted:
                assert (field["pattern"], field["message"]) == (wanted["pattern"], wanted["message"])
            choices = wanted.get("choices")
            assert field["choices"] == (choices and [{"value": v, "label": label} for v, label in choices.items()])


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_pages(operator, limit):
    assert operator.pages("/v1/platforms", limit) == operator.pages("/v1/platforms", 500)


@pytest.mark.parametrize("scopes,status", [(["keystile:providers:read"], 200), (["keystile:keys:read"], 403), ([], 403)])
def test_callers(operator, scopes, status):
    """Whoever may see providers sees what they can be."""
    caller = operator.as_key(scopes=scopes)
    caller.get("/v1/platforms/twilio", expect=status)
    caller.get("/v1/platforms", expect=status)
