"""The rows of seed 002: a Space with its users and projects, and the three parts of a project's credentials."""
import base64
import json
import os
import re
import subprocess

import pytest
import yaml

from api_service import eventually, keystile, new_key, unique
from people import Person

DOMAIN = "space.test"


def jwt_of(person):
    """What the person's programs call the platform with."""
    return person.login(**{"as": "jwt"}).json["token"]


@pytest.fixture(scope="module")
def space(operator):
    """A space with two projects."""
    organization = operator.make_tenant("organization", slug=unique("acme"))
    projects = [operator.make_tenant("project", organization["id"])["id"] for _ in range(2)]
    return organization, projects


def basic(daemon, host, project, token, uri="/api/v1/contacts"):
    secret = base64.b64encode(f"{project}:{token}".encode()).decode()
    return daemon.authorize(None, uri=uri, headers={"Authorization": f"Basic {secret}", "Host": host})


def test_002_space_administrators_and_regular_users_project_membership_billing_and_user_management(
    world, operator, space
):
    """Space, administrators and regular users, project membership, billing and user management"""
    organization, projects = space
    space_id = organization["id"]
    boss = Person(world, space_id).role(space_id, "administrator")
    acts, user = boss.session().at(space_id), Person(world, space_id)
    regular, token = user.session(), jwt_of(user)

    def reaches(jwt, tenant, uri="/api/v1/contacts"):
        return world.daemon.authorize(jwt, uri=uri, headers={"X-Tenant-Id": tenant})

    # A regular user sees no project without having been added to it, nor the space's own settings.
    for tenant in (space_id, *projects):
        assert regular.get(f"/v1/tenants/{tenant}", expect=None).status in (403, 404)
        assert regular.at(tenant).post("/v1/keys", new_key(), expect=None).status == 403
        assert reaches(token, tenant).status == 403
    # The administrator sees all projects, adds the user to one, and makes a new one.
    assert set(projects) <= {t["id"] for t in acts.pages("/v1/tenants", 100)}
    acts.put(f"/v1/tenants/{projects[0]}/members/{user.id}", {"role": "member"})
    acts.post("/v1/tenants", {"kind": "project", "name": "Third", "parent": space_id})
    # Who has access to a project makes its tokens, and no others: at once, in the session that is open.
    inside = regular.at(projects[0])
    inside.get(f"/v1/tenants/{projects[0]}")
    inside.get(f"/v1/tenants/{projects[1]}", expect=404, code="not_found")
    assert (reaches(token, projects[0]).status, reaches(token, projects[1]).code) == (200, "tenant_forbidden")
    made = inside.post("/v1/keys", new_key(tenant=projects[0], scopes=["contacts:read"])).json
    assert (made["binding"], made["created_by"]) == ("project", user.id)
    assert world.daemon.authorize(made["token"]).status == 200
    inside.post("/v1/keys", new_key(tenant=projects[1], scopes=["contacts:read"]), expect=403, code="tenant_forbidden")
    # Users and billing are the administrator's.
    invited = acts.post("/v1/users", {"organization": space_id, "email": unique("new") + "@space.test"}).json
    acts.post(f"/v1/users/{invited['id']}/disable", expect=200)
    for who in (regular, inside):
        invitation = {"organization": space_id, "email": unique("no") + "@space.test"}
        assert who.post("/v1/users", invitation, expect=None).status == 403
        joining = f"/v1/tenants/{projects[0]}/members/{invited['id']}"
        assert who.put(joining, {"role": "member"}, expect=None).status == 403
    billing = "/api/v1/billing/tenant"
    assert reaches(jwt_of(boss), space_id, billing).status == 200
    assert reaches(token, space_id, billing).status == 403 and reaches(token, projects[0], billing).status == 403
    # Out of the project again: at once.
    acts.delete(f"/v1/tenants/{projects[0]}/members/{user.id}")
    assert reaches(token, projects[0]).status == 403
    assert inside.get("/v1/keys", expect=None).status == 403


def test_002_space_url_project_id_and_api_token(world, operator, space):
    """Space URL + Project ID + API token"""
    organization, projects = space
    host = f"{organization['slug']}.{DOMAIN}"
    token = operator.make_key(tenant=projects[0], scopes=["contacts:read"])["token"]
    answer = basic(world.daemon, host, projects[0], token)
    assert (answer.status, answer.headers["X-Keystile-Tenant"]) == (200, projects[0])
    assert answer.headers["X-Keystile-Organization"] == organization["id"]
    other = operator.make_tenant("organization", slug=unique("other"))
    for wrong in (
        (f"{other['slug']}.{DOMAIN}", projects[0], token),
        (host, projects[1], token),
        (host, organization["id"], token),
        (host, projects[0], token[:-1] + ("0" if token[-1] != "0" else "1")),
        (DOMAIN, projects[0], token),
    ):
        refused = basic(world.daemon, *wrong)
        assert (refused.status, refused.code) == (401, "credential_invalid")
        assert refused.headers["WWW-Authenticate"].startswith("Basic")


def test_002_name_and_scopes_per_token_least_privilege_last_time_used_unusual_use_cycle_a_token(world, operator, space):
    """name and scopes per token; least privilege; last time used; unusual use; cycle a token"""
    organization, projects = space
    video = operator.make_key(tenant=projects[0], name="Video", scopes=["voice_sessions:read"])
    assert (video["name"], video["scopes"]) == ("Video", ["voice_sessions:read"])

    def ask(token, uri="/api/v1/voice/sessions"):
        return world.daemon.authorize(token, uri=uri)

    # A token of one scope opens that family, and no other.
    families = operator.get("/v1/policy").json["families"]
    opened = []
    for family in families:
        for route in family["routes"]:
            uri = re.sub(r"[{}]", "", route.replace("/**", ""))
            answer = ask(video["token"], uri or "/")
            assert answer.status in (200, 403), (uri, answer)
            if answer.status == 200:
                opened.append(answer.headers["X-Keystile-Family"])
    assert set(opened) == {"voice_sessions"}
    # When it was last used, and from where, is seen; one that never was says so.
    assert operator.make_key(tenant=projects[0])["last_used_at"] is None
    eventually(lambda: operator.get(f"/v1/keys/{video['id']}").json["uses"], len(opened))
    eventually(lambda: operator.get(f"/v1/keys/{video['id']}").json["last_used_address"], "127.0.0.1")
    assert operator.get(f"/v1/keys/{video['id']}").json["last_used_at"]
    # Unusual use is told and not acted upon: another network, a burst of refusals.
    for address in ("127.0.0.1", "203.0.113.9"):
        before = operator.get(f"/v1/keys/{video['id']}").json["uses"]
        headers = {"X-Forwarded-For": address}
        answer = world.daemon.authorize(video["token"], uri="/api/v1/voice/sessions", headers=headers)
        assert answer.status == 200
        eventually(lambda: operator.get(f"/v1/keys/{video['id']}").json["uses"], before + 1)
    for _ in range(10):
        assert ask(video["token"], "/api/v1/contacts").code == "scope_missing"
    for noticed in ("key.new_network", "key.denials"):
        told = f"/v1/events?type={noticed}&tenant={projects[0]}"
        eventually(lambda: [e["object"] for e in operator.get(told).json["items"]], [video["id"]])
    assert ask(video["token"]).status == 200
    # Cycle: delete and make anew; or rotate, which does both.
    operator.delete(f"/v1/keys/{video['id']}")
    again = operator.make_key(tenant=projects[0], name="Video", scopes=["voice_sessions:read"])
    assert ask(video["token"]).code == "credential_invalid" and ask(again["token"]).status == 200
    cycled = operator.post(f"/v1/keys/{again['id']}/rotate", {}).json
    assert (cycled["name"], cycled["scopes"]) == ("Video", ["voice_sessions:read"])
    assert ask(again["token"]).code == "credential_invalid" and ask(cycled["token"]).status == 200


def from_environment(directory, credentials):
    done = subprocess.run(["env"], env={**os.environ, **credentials}, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def from_dotenv(directory, credentials):
    (directory / ".env").write_text("".join(f"{k}={v}\n" for k, v in credentials.items()))
    script = 'set -a; . ./.env; printf "%s\\n%s\\n%s\\n" "$SPACE_URL" "$PROJECT_ID" "$API_TOKEN"'
    done = subprocess.run(["sh", "-c", script], cwd=directory, capture_output=True, text=True, check=True)
    return dict(zip(credentials, done.stdout.splitlines()))


def from_json(directory, credentials):
    (directory / "credentials.json").write_text(json.dumps(credentials))
    return json.loads((directory / "credentials.json").read_text())


def from_yaml(directory, credentials):
    # Without quotes: neither part can be taken for anything but a text.
    (directory / "credentials.yaml").write_text("".join(f"{k}: {v}\n" for k, v in credentials.items()))
    return yaml.safe_load((directory / "credentials.yaml").read_text())


@pytest.mark.parametrize("read", [from_environment, from_dotenv, from_json, from_yaml])
def test_002_credentials_from_environment_dotenv_json_or_yaml_files(world, space, tmp_path, read):
    """credentials from environment, .env, JSON or YAML files: as the command line prints them they can stand in any of
    these without quotes, and come out as they went in"""
    organization, projects = space
    done = keystile.run(
        "keys",
        "create",
        "--name",
        "client",
        "--tenant",
        projects[0],
        "--scope",
        "contacts:read",
        "--json",
        data=world.daemon.data,
    )
    assert done.code == 0, done
    credentials = {
        "SPACE_URL": f"{organization['slug']}.{DOMAIN}",
        "PROJECT_ID": done.json["tenant"],
        "API_TOKEN": done.json["token"],
    }
    found = read(tmp_path, credentials)
    assert {k: found[k] for k in credentials} == credentials
    assert basic(world.daemon, found["SPACE_URL"], found["PROJECT_ID"], found["API_TOKEN"]).status == 200
