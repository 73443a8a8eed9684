"""/v1/identity-providers: with whom the people of an organization log in."""
import keystile
import pytest

from api_service import pointers, same_problem, unique

SECRET = "correct horse battery staple"


def new_provider(organization, **members):
    return {"organization": organization, "name": unique("provider"), "issuer": "https://login.example",
            "client_id": "console", **members}


def test_through_its_life(world, operator):
    body = new_provider(world.acme, client_secret=SECRET, scopes="openid email", domains=["acme.example", "acme.test"],
                        auto_create=True, default_role="member", default_tenant=world.sub)
    answer = operator.post("/v1/identity-providers", body)
    made = answer.json
    assert SECRET not in answer.body.decode() and made["has_client_secret"] is True
    assert made["scopes"] == ["openid", "email"] and made["domains"] == body["domains"]
    assert (made["auto_create"], made["default_role"], made["default_tenant"]) == (True, "member", world.sub)
    target = f"/v1/identity-providers/{made['id']}"
    assert operator.get(target).json == made
    assert made in operator.pages(f"/v1/identity-providers?organization={world.acme}", 1)
    assert operator.post(f"{target}/disable", expect=200).json["status"] == "disabled"
    assert operator.post(f"{target}/enable", expect=200).json["status"] == "active"
    gone = operator.delete(target).json
    assert gone["status"] == "deleted" and gone["has_client_secret"] is False
    operator.get(target, expect=404)
    entries = operator.get(f"/v1/audit?tenant={world.acme}").json["items"]
    assert {e["action"] for e in entries if e["object"] == made["id"]} == {
        "identity_provider.create", "identity_provider.disable", "identity_provider.enable", "identity_provider.delete"}
    assert SECRET not in operator.get(f"/v1/audit?tenant={world.acme}").body.decode()


def test_the_least_that_is_needed(world, operator):
    made = operator.post("/v1/identity-providers", new_provider(world.acme)).json
    assert made["scopes"] == ["openid", "email", "profile"] and made["domains"] == []
    assert (made["has_client_secret"], made["auto_create"], made["default_role"]) == (False, False, None)
    mine = operator.post("/v1/identity-providers", new_provider(world.root)).json
    assert mine["organization"] is None
    assert mine in operator.pages(f"/v1/identity-providers?organization={world.root}", 100)


@pytest.mark.parametrize("members, pointer", [
    ({"name": ""}, "/name"), ({"issuer": "http://login.example"}, None), ({"issuer": "https://10.0.0.1"}, "/issuer"),
    ({"issuer": "login.example"}, "/issuer"), ({"client_id": ""}, "/client_id"),
    ({"client_secret": "x" * 1025}, "/client_secret"), ({"scopes": "email"}, "/scopes"),
    ({"domains": ["Acme.example"]}, "/domains"), ({"domains": "acme.example"}, "/domains"),
    ({"auto_create": True}, "/domains"), ({"auto_create": 1}, "/auto_create"),
    ({"default_role": "emperor"}, "/default_role"),
    ({"default_tenant": "x"}, "/default_tenant"), ({"colour": "red"}, "/colour")])
def test_what_is_refused(world, operator, members, pointer):
    body = {**new_provider(world.acme), **members}
    if pointer is None:    # of a name without TLS it is told when it is fetched
        operator.post("/v1/identity-providers", body)
        return
    answer = operator.post("/v1/identity-providers", body, expect=422, code="invalid")
    assert pointer in pointers(answer)


def test_others_see_nothing(world, operator):
    made = operator.post("/v1/identity-providers", new_provider(world.acme)).json
    stranger = world.caller(world.other)
    for caller in (stranger, world.caller(world.sub)):
        for method, verb in [("GET", ""), ("DELETE", ""), ("POST", "/disable"), ("POST", "/enable")]:
            there = caller.call(method, f"/v1/identity-providers/{made['id']}{verb}", expect=404, code="not_found")
            nowhere = caller.call(method, f"/v1/identity-providers/idp_0000000000001{verb}", expect=404)
            assert same_problem(there, nowhere)
        caller.post("/v1/identity-providers", new_provider(world.acme), expect=403, code="tenant_forbidden")
        caller.post("/v1/identity-providers", new_provider(world.root), expect=403, code="tenant_forbidden")
    assert made["id"] not in [item["id"] for item in stranger.pages("/v1/identity-providers", 100)]
    world.caller(world.acme).post("/v1/identity-providers", new_provider(world.acme, default_role="administrator"),
                                  expect=403, code="not_grantable")


def test_from_the_command_line(world, daemon, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n", encoding="utf-8")
    done = keystile.run("identity-providers", "create", "--organization", world.acme, "--name", "By hand", "--issuer",
                        "https://login.example", "--client-id", "console", "--client-secret-file", secret, "--domain",
                        "acme.example", "--auto-create", "--default-role", "member", "--json", data=daemon.data)
    assert done.code == 0, done
    assert done.json["has_client_secret"] is True and done.json["auto_create"] is True and SECRET not in done.out
    assert done.json["id"] in keystile.run("identity-providers", "list", data=daemon.data).out
    for verb in ("show", "disable", "enable", "delete"):
        assert keystile.run("identity-providers", verb, done.json["id"], data=daemon.data).code == 0
