"""The rows of seed 000: secrets of providers, held at AWS under KMS or referenced, entered once, read by the runtime; webhooks out and in."""
import base64
import hmac
import json
import pathlib
import sys

import keystile
import pytest

for name in ("vault", "sip", "inbound"):
    sys.path.insert(0, str(keystile.SOURCE / "tests" / name))

import auditlog  # noqa: E402
import hooks  # noqa: E402
import references  # noqa: E402
from api_service import Api, eventually, unique  # noqa: E402
from links_service import Visitor, link  # noqa: E402
from peers import Peers  # noqa: E402
from test_vault_kms import KEY  # noqa: E402

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text}
  password: {label: Password, type: secret}
"""


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    """AWS, as tests/vault has checked it with the official clients."""
    made = references.Fakes(tmp_path_factory.mktemp("fakes"))
    references.fill(made)
    yield made
    made.stop()


class Customers:
    """A service that holds values in AWS Secrets Manager, sealed under a key of AWS KMS, for two customers."""

    def __init__(self, daemon, fakes):
        self.daemon, self.fakes = daemon, fakes
        self.owner = Api(daemon, local=True)
        self.acme, self.other = (self.owner.make_tenant("organization")["id"] for _ in range(2))
        self.runtime = Api(daemon, self.owner.make_key(kind="runtime", scopes=["keystile:secrets:reveal"])["token"])
        self.visitor = Visitor(daemon)

    def admin(self, organization):
        scopes = ["keystile:providers:read", "keystile:providers:write", "keystile:links:read", "keystile:links:write", "keystile:audit:read"]
        return Api(self.daemon, self.owner.make_key(tenant=organization, scopes=scopes)["token"])

    def provider(self, organization, platform="pair", **fields):
        made = self.owner.post("/v1/providers", {"tenant": organization, "platform": platform, "name": unique("line")}).json["id"]
        for name, value in fields.items():
            self.owner.put(f"/v1/providers/{made}/fields/{name}", {"value": value} if isinstance(value, str) else {"reference": value})
        return made

    def enter(self, provider, value, field="password"):
        self.visitor.enter(link(self.owner, provider, field), value, expect=200)

    def stage(self, provider, version):
        items = self.owner.get(f"/v1/providers/{provider}/fields/password").json["items"]
        return next((v["stage"] for v in items if v["version"] == version), None)

    def reveal(self, provider, call, expect=200):
        return self.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": call}, expect=expect)

    def password(self, provider, call):
        return self.reveal(provider, call).json["fields"]["password"]


@pytest.fixture(scope="module")
def customers(fakes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (folder / "pair.yaml").write_text(PAIR)
    credential = folder / "credential"
    credential.write_text("AKIAKEYSTILE:base/secret+key\n")
    credential.chmod(0o600)
    env = {"KEYSTILE_PLATFORMS_OWN": folder, "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8,::1/128", "KEYSTILE_FETCH_CA_FILE": fakes.server_pem,
           "KEYSTILE_REFERENCES_IDENTITIES": references.write_identities(folder, fakes), "KEYSTILE_VAULT_HELD_STORE": "aws",
           "KEYSTILE_VAULT_HELD_IDENTITY": "held", "KEYSTILE_VAULT_HELD_REGION": "eu-central-1", "KEYSTILE_VAULT_KMS": "aws-kms",
           "KEYSTILE_VAULT_KMS_URL": fakes.url("kms", tls=True), "KEYSTILE_VAULT_KMS_KEY": KEY, "KEYSTILE_VAULT_KMS_REGION": "eu-central-1",
           "KEYSTILE_VAULT_KMS_CREDENTIALS_FILE": credential}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        yield Customers(daemon, fakes)


@pytest.fixture
def trunk(tmp_path):
    made = Peers(tmp_path)
    made.proxy("trunk", ALGORITHM="MD5")
    made.passwords("first")
    yield made
    made.end()


def test_000_bearer_token_scoped_to_the_account_rotate_at_any_time_revoked_stops_immediately(world, operator):
    """bearer token, scoped to the account; rotate at any time; revoked stops immediately"""
    made = operator.make_key(tenant=world.acme, scopes=["keystile:keys:read", "keystile:tenants:read", "contacts:read"])
    account = Api(world.daemon, made["token"])
    assert account.get("/v1/account").json["key"]["id"] == made["id"]
    assert world.acme in [t["id"] for t in account.pages("/v1/tenants", 50)]
    assert world.other not in [t["id"] for t in account.pages("/v1/tenants", 50)]
    account.get(f"/v1/tenants/{world.other}", expect=404)
    assert world.daemon.authorize(made["token"]).status == 200
    assert world.daemon.authorize(made["token"], headers={"X-Tenant-Id": world.other}).status == 403
    successor = operator.post(f"/v1/keys/{made['id']}/rotate", {}).json
    assert (world.daemon.authorize(made["token"]).status, world.daemon.authorize(successor["token"]).status) == (401, 200)
    operator.delete(f"/v1/keys/{successor['id']}")
    assert world.daemon.authorize(successor["token"]).status == 401


def test_000_webhook_delivery_is_signed():
    """webhook delivery is signed: as Standard Webhooks says, computed here anew"""
    with hooks.service() as service, hooks.Server() as server:
        endpoint = {"tenant": service.tenant, "url": f"http://127.0.0.1:{server.port}/in", "events": ["key.created"]}
        secret = service.call("POST", "/v1/webhook-endpoints", endpoint, 201)["secret"]
        key = service.call("POST", "/v1/keys", {"name": "n", "tenant": service.tenant, "scopes": [], "expires_at": None}, 201)["id"]
        hooks.eventually(lambda: len(server.received), 1)
    headers, body = server.received[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert json.loads(body)["object"] == key
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256").digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_000_webhook_intake_is_verified_per_platform():
    """intake verified per platform (HMAC headers, IP allow-lists, mTLS): what is not genuine leaves a count and no row"""
    authority = hooks.Authority()
    cert, stranger = authority.issue("platform.example")[0], hooks.Authority("another").issue("platform.example")[0]

    def certificate(of):
        return {"Client-Cert": ":" + base64.b64encode(hooks.der(of)).decode() + ":"}

    settings = {"KEYSTILE_HOOKS_CLIENT_CERTIFICATE_HEADER": "Client-Cert", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}
    with hooks.service(**settings) as service:
        for source, genuine, forged in (
            (service.source("github", parameters={"secrets": [hooks.SECRET]}), hooks.github(b"{}"), hooks.github(b"{}", "another secret")),
            (service.source("slack", parameters={"secrets": [hooks.SECRET]}), hooks.slack(b"{}"), hooks.slack(b"{}", "another secret")),
            (service.source("generic", "generic.ip-allowlist", {"allow": ["192.0.2.0/24"]}),
             {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "198.51.100.7"}),
            (service.source("generic", "generic.mtls", {"ca_pem": [authority.pem]}), certificate(cert), certificate(stranger)),
        ):
            refused = service.send(source, b"{}", forged)
            assert (refused.status, refused.body) == (401, b"") and service.messages(source) == []
            assert service.send(source, b"{}", genuine).status == 200 and len(service.messages(source)) == 1


def test_000_platform_pages_list_the_credentials_needed(operator):
    """platform pages list the credentials needed (OAuth, SIP trunks, IAM keys, queue IDs)"""
    wanted = {"oauth2-client": {"client_id", "client_secret"}, "genesys-cloud": {"client_id", "client_secret"},
              "sip-trunk": {"host", "user", "password"}, "amazon-connect": {"access_key_id", "secret_access_key", "queue_ids"}}
    for name, fields in wanted.items():
        platform = operator.get(f"/v1/platforms/{name}").json
        shown = {f["name"]: f for f in platform["fields"]}
        assert fields <= set(shown), (name, sorted(shown))
        page = (keystile.SOURCE / "docs" / "platforms" / f"{name}.md").read_text(encoding="utf-8")
        for field in platform["fields"]:
            assert field["label"] in page, (name, field["name"])


def test_000_held_in_aws_secrets_manager_under_kms_per_tenant_no_shared_blobs(customers, fakes):
    """held in AWS Secrets Manager, KMS, per tenant, no shared blobs"""
    assert customers.owner.get("/v1/vault/root").json["root"].startswith("aws-kms ")
    asked = len(fakes.requests("kms"))
    mine, theirs = (customers.provider(organization, user="alice") for organization in (customers.acme, customers.other))
    for provider in (mine, theirs):
        customers.enter(provider, "the-same-value")
        assert customers.password(provider, "a") == "the-same-value"
    # A key of KMS wraps a key for each organization, which its encryption context names.
    assert len(fakes.requests("kms")) >= asked + 2
    secrets = fakes.control("aws")["state"]["secrets"]
    names = [f"keystile/{organization}/{provider}/password" for organization, provider in ((customers.acme, mine), (customers.other, theirs))]
    (ours, blob), (_, other) = (next((v, held["binary"]) for v, held in secrets[name]["versions"].items()) for name in names)
    assert blob != other and b"the-same-value" not in base64.b64decode(blob) + base64.b64decode(other)
    for path in pathlib.Path(customers.daemon.data).rglob("*"):
        assert not path.is_file() or b"the-same-value" not in path.read_bytes(), path
    # Another's blob in the place of one's own opens nothing.
    fakes.state("aws", secrets={names[0]: {"versions": {ours: {"binary": other}}}})
    refused = customers.reveal(mine, "b", expect=500)
    assert refused.code == "value_unreadable" and b"the-same-value" not in refused.body
    assert customers.password(theirs, "b") == "the-same-value"


def test_000_every_read_is_audited_and_the_log_is_there_on_request(customers):
    """every read audited; the log on request"""
    provider = customers.provider(customers.acme, user="alice")
    customers.enter(provider, "s3cret")
    for n in range(3):
        customers.reveal(provider, f"call-{n}")
    customer = customers.admin(customers.acme)
    key = customer.get("/v1/audit/checkpoint").json["key"]
    for form in ("jsonl", "csv"):
        entries = auditlog.verify(customer.get(f"/v1/audit/export?format={form}").body, key)
        read = [json.loads(e["detail"])["call_id"] for e in entries if e["action"] == "secret.reveal" and e["object"] == provider]
        assert read == ["call-0", "call-1", "call-2"]
    assert provider.encode() not in customers.admin(customers.other).get("/v1/audit/export?format=jsonl").body


def test_000_rotation_through_the_same_intake_without_dropping_calls(customers, trunk):
    """rotation through the same intake, without dropping calls: at fifty calls a second, tests/sip/test_zero_dropped.py"""
    provider = customers.provider(customers.acme, "sip-trunk", host="127.0.0.1", port=str(trunk.ports["TRUNK"]), domain="trunk.example", user="alice")
    customers.enter(provider, "first")
    eventually(lambda: customers.stage(provider, 1), "current")
    assert customers.password(provider, "under way") == "first"
    trunk.passwords("second", "first")
    customers.enter(provider, "second")
    eventually(lambda: customers.stage(provider, 2), "current")
    assert (customers.password(provider, "under way"), customers.password(provider, "next")) == ("first", "second")
    customers.enter(provider, "wrong")
    eventually(lambda: customers.stage(provider, 3), "failed")
    assert customers.password(provider, "after") == "second"


def test_000_revoked_at_the_customers_side_health_fails_and_the_endpoint_shows_it(customers, trunk):
    """revoked at the customer's side: health checks fail at once, shown at the health endpoint"""
    provider = customers.provider(customers.acme, "sip-trunk", host="127.0.0.1", port=str(trunk.ports["TRUNK"]), domain="trunk.example", user="alice")
    customers.enter(provider, "first")
    customer = customers.admin(customers.acme)

    def health():
        found = customer.get(f"/v1/providers/{provider}/health").json
        return found["status"], found["code"], {f["name"]: f["status"] for f in found["fields"]}.get("password")

    eventually(health, ("healthy", "ok", "healthy"))
    trunk.passwords("another")
    customer.post(f"/v1/providers/{provider}/probe", {}, expect=202)
    eventually(health, ("failing", "credential_refused", "failing"))
    assert provider in [h["provider"] for h in customer.pages("/v1/health/providers?status=failing", 50)]
    assert [e["data"]["status"] for e in customers.owner.pages("/v1/events?type=provider.health_changed", 50) if e["object"] == provider][0] == "failing"


def test_000_one_time_secure_intake_link_per_value_then_invalidated(customers):
    """one-time secure intake link per value, then invalidated"""
    provider = customers.provider(customers.acme)
    customer = customers.admin(customers.acme)
    made = {field: link(customer, provider, field) for field in ("user", "password")}
    for field, value in (("user", "alice"), ("password", "s3cret")):
        page = customers.visitor.look(made[field])
        assert page.headers["Cache-Control"] == "no-store" and page.headers["Referrer-Policy"] == "no-referrer"
        assert customers.visitor.enter(made[field], value, expect=200)
    for field, value in (("user", "mallory"), ("password", "other")):
        assert customers.visitor.look(made[field], expect=410).body == customers.visitor.enter(made[field], value, expect=410).body
        assert customer.get(f"/v1/links/{made[field]['id']}").json["status"] == "used"
    assert customers.reveal(provider, "a").json["fields"] == {"user": "alice", "password": "s3cret"}


def test_000_own_secret_manager_by_reference_trust_and_external_id_never_stored_fresh_on_every_call(customers, fakes):
    """own secret manager: reference, IAM trust, external_id; never stored, fresh on every call: all four in tests/brief/test_brief_vault.py"""
    trusted = {"trusts": [references.OUR_ARN], "external_id": f"keystile:{customers.acme}", "allows": ["trunk"]}
    fakes.state("aws", roles={references.ROLE: trusted})
    reference = references.aws(external_id=f"keystile:{customers.acme}")
    provider = customers.provider(customers.acme, user="alice", password=reference)
    stranger = customers.provider(customers.other, user="bob", password=reference)
    assert customers.password(provider, "a") == 'aws-value "\u00e9\n'
    # The role trusts one customer's external id; nobody else uses it through us.
    assert customers.reveal(stranger, "a", expect=502).code == "external_id_wrong"
    fakes.state("aws", secrets={"trunk": {"versions": {references.AWS_VERSION: {"text": "fresh-5a1e"}}}})
    assert customers.password(provider, "a") == "fresh-5a1e"
    fakes.state("aws", roles={references.ROLE: {**trusted, "trusts": []}})
    assert customers.reveal(provider, "b", expect=502).code == "trust_revoked"
    for path in pathlib.Path(customers.daemon.data).rglob("*"):
        assert not path.is_file() or b"fresh-5a1e" not in path.read_bytes(), path
