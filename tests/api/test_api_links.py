"""/v1/providers/{id}/fields/{field}/links, /v1/providers/{id}/links, /v1/links/{id}, and the page that a link is of."""
import re

import pytest

from links_service import AUTH_TOKEN, SCOPES, Visitor, link, multipart, path_of, pointers, provider, same_problem, unique


@pytest.fixture(scope="module")
def admin(world):
    return world.caller(world.acme, scopes=SCOPES)


@pytest.fixture(scope="module")
def trunk(admin, world):
    return provider(admin, world.acme)


@pytest.mark.parametrize("body, pointer", [
    ({"expires_in_s": 59}, "/expires_in_s"),
    ({"expires_in_s": 2592001}, "/expires_in_s"),
    ({"expires_in_s": "3600"}, "/expires_in_s"),
    ({"expires_in_s": True}, "/expires_in_s"),
    ({"expires_in_s": -1}, "/expires_in_s"),
    ({"expires_in_s": 3600, "for": "x" * 201}, "/for"),
    ({"expires_in_s": 3600, "for": "a\nb"}, "/for"),
    ({"expires_in_s": 3600, "for": 1}, "/for"),
    ({"expires_in_s": 3600, "value": "x"}, "/value"),
])
def test_wrong_input_makes_no_link(admin, trunk, body, pointer):
    before = admin.get(f"/v1/providers/{trunk}/links").json["items"]
    answer = admin.post(f"/v1/providers/{trunk}/fields/auth_token/links", body, expect=422, code="invalid")
    assert pointers(answer) == [pointer]
    assert admin.get(f"/v1/providers/{trunk}/links").json["items"] == before


def test_links_need_their_scopes(world, trunk):
    reader = world.caller(world.acme, scopes=["keystile:links:read", "keystile:providers:write"])
    reader.post(f"/v1/providers/{trunk}/fields/auth_token/links", {}, expect=403, code="scope_missing")
    writer = world.caller(world.acme, scopes=["keystile:links:write"])
    made = link(writer, trunk)
    writer.get(f"/v1/links/{made['id']}", expect=403, code="scope_missing")
    reader.delete(f"/v1/links/{made['id']}", expect=403, code="scope_missing")


def test_what_is_not_seen_is_as_what_is_not_there(world, admin, trunk):
    made = link(admin, trunk)
    stranger = world.caller(world.other, scopes=SCOPES)
    nowhere, nothing = "prv_" + "0" * 12 + "1", "lnk_" + "0" * 12 + "1"
    for method, hidden, missing, body in [
            ("POST", f"/v1/providers/{trunk}/fields/auth_token/links", f"/v1/providers/{nowhere}/fields/auth_token/links", {}),
            ("GET", f"/v1/providers/{trunk}/links", f"/v1/providers/{nowhere}/links", None),
            ("GET", f"/v1/links/{made['id']}", f"/v1/links/{nothing}", None),
            ("DELETE", f"/v1/links/{made['id']}", f"/v1/links/{nothing}", None)]:
        one = stranger.call(method, hidden, body, expect=404, code="not_found")
        assert same_problem(one, stranger.call(method, missing, body, expect=404, code="not_found"))
    assert admin.get(f"/v1/links/{made['id']}").json["status"] == "open"
    admin.post(f"/v1/providers/{trunk}/fields/no_such_field/links", {}, expect=404, code="not_found")


def test_the_address_is_shown_once(admin, trunk, world):
    made = link(admin, trunk, **{"for": "Jane Doe"})
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/intake/[0-9a-f]{64}", made.pop("url"))
    assert made["status"] == "open" and made["attempts"] == 0 and made["for"] == "Jane Doe" and made["tenant"] == world.acme
    assert admin.get(f"/v1/links/{made['id']}").json == made
    assert made in admin.pages(f"/v1/providers/{trunk}/links", 2)


def test_a_replay_makes_no_second_link_and_shows_no_address(admin, world):
    of = provider(admin, world.acme)
    target, headers = f"/v1/providers/{of}/fields/auth_token/links", {"Idempotency-Key": unique("links")}
    first = admin.post(target, {"expires_in_s": 600}, headers=headers)
    again = admin.post(target, {"expires_in_s": 600}, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert {**again.json, "url": first.json["url"]} == first.json and "url" not in again.json
    assert len(admin.pages(f"/v1/providers/{of}/links", 50)) == 1
    admin.post(target, {"expires_in_s": 601}, headers=headers, expect=409, code="idempotency_conflict")


def test_from_making_a_link_to_its_end(daemon, admin, trunk):
    visitor = Visitor(daemon)
    used, withdrawn = link(admin, trunk), link(admin, trunk)
    visitor.look(used)
    sent, body = multipart(("value", AUTH_TOKEN))
    visitor.call("POST", path_of(used), body, sent, expect=200)
    visitor.look(used, expect=410)
    assert admin.get(f"/v1/links/{used['id']}").json["status"] == "used"
    assert admin.delete(f"/v1/links/{withdrawn['id']}").json["status"] == "cancelled"
    assert [i["status"] for i in admin.get(f"/v1/providers/{trunk}/links?limit=2").json["items"]] == ["cancelled", "used"]
