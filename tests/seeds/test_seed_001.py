"""The rows of seed 001: API keys with a name, an expiry and roles."""
import datetime

from api_service import eventually, new_key, pointers
from people import Person


def later(**span):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**span)).strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    )


def logged_in(world, organization, role):
    """A person with this role on the organization, in its console."""
    return Person(world, organization).role(organization, role).session().at(organization)


def test_001_keys_with_name_expiry_and_roles_administrators_create_and_edit_account_readers_view(world, operator):
    """keys with name, expiry, roles; administrators create and edit, account readers view"""
    organization = operator.make_tenant("organization")["id"]
    administrator, reader = (logged_in(world, organization, r) for r in ("administrator", "account_reader"))
    # As many as one needs, each with its own name, expiry and roles. Roles are within what the administrator may grant.
    expires = later(days=30)
    made = [
        administrator.post("/v1/keys", {"name": name, "roles": roles, "expires_at": at}).json
        for name, roles, at in (
            ("CRM", ["account_reader"], expires),
            ("BI", [], None),
            ("Ops", ["administrator"], later(hours=1)),
        )
    ]
    assert [(k["name"], k["roles"], k["tenant"]) for k in made] == [
        ("CRM", ["account_reader"], organization),
        ("BI", [], organization),
        ("Ops", ["administrator"], organization),
    ]
    assert made[0]["expires_at"] == expires and made[1]["expires_at"] is None
    administrator.patch(f"/v1/keys/{made[0]['id']}", {"name": "CRM sync"})
    # Both see them; the reader changes nothing.
    for who in (administrator, reader):
        assert {k["id"] for k in who.pages(f"/v1/keys?tenant={organization}", 10)} == {k["id"] for k in made}
        assert who.get(f"/v1/keys/{made[0]['id']}").json["name"] == "CRM sync"
    for method, target, body in (
        ("POST", "/v1/keys", new_key()),
        ("PATCH", f"/v1/keys/{made[0]['id']}", {"name": "mine"}),
        ("DELETE", f"/v1/keys/{made[0]['id']}", None),
        ("POST", f"/v1/keys/{made[0]['id']}/rotate", {}),
    ):
        reader.call(method, target, body, expect=403, code="scope_missing")
    assert reader.get(f"/v1/keys/{made[0]['id']}").json["status"] == "active"


def test_001_expiry_and_roles_fixed_at_creation_name_editable_token_shown_once_not_stored(world, operator):
    """expiry and roles fixed at creation; name editable; token shown once, not stored"""
    made = operator.make_key(tenant=world.acme, roles=["billing_reader"], expires_at=later(days=1))
    token = made["token"]
    for member, value in (
        ("expires_at", later(days=365)),
        ("expires_at", None),
        ("roles", ["call_operator"]),
        ("roles", []),
    ):
        answer = operator.patch(f"/v1/keys/{made['id']}", {member: value}, expect=422, code="immutable")
        assert pointers(answer) == [f"/{member}"]
    renamed = operator.patch(f"/v1/keys/{made['id']}", {"name": "another"}).json
    assert renamed == {**{k: v for k, v in made.items() if k != "token"}, "name": "another"}
    for target in (
        f"/v1/keys/{made['id']}",
        "/v1/keys?limit=500",
        "/v1/audit?limit=500",
        "/v1/events?limit=500",
        "/metrics",
    ):
        assert token.encode() not in operator.get(target).body
    files = [p for p in world.daemon.data.rglob("*") if p.is_file()]
    assert any(p.name == "keystile.db" for p in files)
    for path in files:
        content = path.read_bytes()
        assert token.encode() not in content and token[-32:].encode() not in content, path
    assert token not in world.daemon.errors
    # An expired key stops, and its expiry cannot be moved.
    short = operator.make_key(tenant=world.acme, scopes=["contacts:read"], expires_at=later(seconds=2))
    eventually(lambda: world.daemon.authorize(short["token"]).code, "credential_expired")
    assert operator.get(f"/v1/keys/{short['id']}").json["status"] == "expired"
    operator.patch(f"/v1/keys/{short['id']}", {"expires_at": later(days=1)}, expect=422, code="immutable")


def test_001_list_create_copy_once_edit_with_dates_and_roles_delete_with_confirmation(world, operator):
    """list, create dialog, copy-once dialog, edit page with dates and roles, delete with confirmation: what the
    console's pages ask of the API"""
    organization = operator.make_tenant("organization")["id"]
    administrator = logged_in(world, organization, "administrator")
    made = administrator.post(
        "/v1/keys", {"name": "CRM", "roles": ["account_reader"], "expires_at": later(days=30)}
    ).json
    listed = administrator.get(f"/v1/keys?tenant={organization}").json["items"]
    assert [(k["name"], k["roles"], k["status"]) for k in listed] == [("CRM", ["account_reader"], "active")]
    assert "token" not in listed[0] and listed[0]["last_four"] == made["token"][-4:]
    page = administrator.get(f"/v1/keys/{made['id']}").json
    assert page["created_at"] and page["expires_at"] == made["expires_at"] and page["roles"] == ["account_reader"]
    assert world.daemon.authorize(made["token"]).status == 200
    deleted = administrator.delete(f"/v1/keys/{made['id']}").json
    assert deleted["status"] == "revoked" and deleted["revoked_at"]
    assert world.daemon.authorize(made["token"]).code == "credential_invalid"
    # A confirmation that is sent twice does no harm.
    assert administrator.delete(f"/v1/keys/{made['id']}").json["revoked_at"] == deleted["revoked_at"]
