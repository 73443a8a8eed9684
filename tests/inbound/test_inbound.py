"""Webhooks of platforms at /hooks: challenges, duplicates, rotation, certificates, what is fetched, what is kept, and floods."""
import concurrent.futures
import hmac
import http.client
import pathlib
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from hooks import (Authority, Hooks, ORIGIN, SECRET, Server, base64, der, eventually, github, json, keystile, pem, rsa, service, slack, twilio,
                   unique, write, zoom)

FORGED = 100_000
AWS = yaml.safe_load((keystile.SOURCE / "platforms/aws.yaml").read_text(encoding="utf-8"))["webhook"]["aws.sns"]


@pytest.fixture(scope="module")
def hooks():
    with service() as running:
        yield running


# ---- what is answered ----

def test_challenges(hooks):
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"}).encode()
    source = hooks.source("slack", parameters={"secrets": [SECRET]})
    answer = hooks.send(source, body, slack(body))
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1aB"})
    assert hooks.send(source, body, slack(body, "another")).status == 401
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "token"}}).encode()
    source = hooks.source("zoom", parameters={"secrets": [SECRET]})
    answer = hooks.send(source, body, zoom(body))
    assert answer.status == 200 and answer.json["plainToken"] == "token" and len(answer.json["encryptedToken"]) == 64
    refused = hooks.send(source, body, {**zoom(body), "x-zm-signature": "v0=" + "0" * 64})
    assert (refused.status, refused.body) == (401, b"")
    source = hooks.source("microsoft", "microsoft.event-grid", {"secrets": [SECRET]})
    body = json.dumps([{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "code"}}]).encode()
    assert hooks.send(source, body, rest=f"?code={SECRET}").json == {"validationResponse": "code"}
    assert hooks.send(source, body, rest="?code=wrong").status == 401
    answer = hooks.send(source, b"", {"WebHook-Request-Origin": "eventgrid.azure.net"}, method="OPTIONS")
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert hooks.messages(source) == []


def change_source(hooks, source, sql):
    number = int(hooks.call("GET", f"/v1/sources/{source}")["id"] == source)
    assert number
    with sqlite3.connect(hooks.daemon.data / "keystile.db", timeout=30) as store:
        assert store.execute(f"UPDATE sources SET {sql} WHERE name = ?", (hooks.call("GET", f"/v1/sources/{source}")["name"],)).rowcount == 1


def test_an_open_window_closes(hooks):
    """A challenge that nothing vouches for is answered while a source is new or confirmed, and not any more later."""
    graph = hooks.source("microsoft", "microsoft.graph-basic", {"client_state": [SECRET]})
    ring = hooks.source("ringcentral", "ringcentral.validation-handshake", {"secrets": [SECRET]})

    def graph_asks():
        return hooks.send(graph, b"", rest="?validationToken=Validation%3A+a%20b")

    def ring_asks():
        return hooks.send(ring, b"", {"Validation-Token": "abc"})

    assert (graph_asks().status, graph_asks().body) == (200, b"Validation: a b")
    assert ring_asks().headers["Validation-Token"] == "abc"
    # Only its exact shape is a challenge: one with a body is none.
    assert hooks.send(ring, b"x", {"Validation-Token": "abc"}).status == 401
    for source in (graph, ring):
        change_source(hooks, source, "confirm_until = 0")
    assert [(a.status, a.body) for a in (graph_asks(), ring_asks())] == [(401, b"")] * 2
    hooks.call("POST", f"/v1/sources/{ring}/confirm")
    assert (ring_asks().status, graph_asks().status) == (200, 401)


def test_challenges_are_few():
    with service(KEYSTILE_HOOKS_CHALLENGES_PER_MINUTE="3") as hooks:
        ring = hooks.source("ringcentral", "ringcentral.validation-handshake", {"secrets": [SECRET]})
        answers = [hooks.send(ring, b"", {"Validation-Token": "abc"}) for _ in range(8)]
        assert {a.status for a in answers} == {200, 429} and "Validation-Token" not in answers[-1].headers
        assert hooks.count("keystile_webhooks", outcome="limited") > 0


def test_acknowledged_as_the_platform_expects(hooks):
    source = hooks.source("salesforce", parameters={"organization_ids": ["00D"], "allow": ["127.0.0.1"]})
    body = b"<a><OrganizationId>00D</OrganizationId></a>"
    answer = hooks.send(source, body, {"Content-Type": "text/xml"})
    assert answer.status == 200 and b"<Ack>true</Ack>" in answer.body and answer.headers["Content-Type"] == "text/xml"
    source = hooks.source("generic", "generic.basic", {"users": [{"username": "u", "password": "p"}]})
    answer = hooks.send(source)
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == 'Basic realm="webhooks"' and answer.body == b""


def test_any_method(hooks):
    source = hooks.source("generic", "generic.shared-secret", {"secrets": [SECRET]})
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        assert hooks.send(source, b"", {"X-Webhook-Secret": SECRET}, method=method).status == 200
    assert len(hooks.messages(source)) == 6


def test_a_body_has_a_bound(hooks):
    source = hooks.source("github", parameters={"secrets": [SECRET]})
    body = b"x" * (1 << 20)
    assert hooks.send(source, body, github(body)).status == 200
    assert hooks.send(source, body + b"x", github(body + b"x")).status == 413


# ---- what is kept ----

def test_secrets_are_masked(hooks):
    basic = hooks.source("generic", "generic.basic", {"users": [{"username": "u", "password": SECRET}]})
    credentials = "Basic " + base64.b64encode(f"u:{SECRET}".encode()).decode()
    assert hooks.send(basic, b"x", {"Authorization": credentials}).status == 200
    shared = hooks.source("generic", "generic.shared-secret", {"secrets": [SECRET], "header": "X-Mine"})
    assert hooks.send(shared, b"x", {"x-mine": SECRET, "Cookie": f"a={SECRET}"}).status == 200
    grid = hooks.source("microsoft", "microsoft.event-grid", {"secrets": [SECRET]})
    assert hooks.send(grid, b"[]", rest=f"?a=1&code={SECRET}&b").status == 200
    for source in (basic, shared, grid):
        assert SECRET not in json.dumps(hooks.message(source)) and credentials not in json.dumps(hooks.message(source))
    assert hooks.message(grid)["target"] == f"/hooks/{grid}?a=1&code=***&b"
    everything = b"".join(p.read_bytes() for p in hooks.daemon.data.glob("keystile.db*"))
    assert SECRET.encode() not in everything and credentials.encode() not in everything
    assert SECRET not in hooks.daemon.errors


def test_duplicates_at_one_time(hooks):
    source = hooks.source("github", parameters={"secrets": [SECRET]})
    headers = github(b"{}")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: hooks.send(source, b"{}", headers).status, range(64)))
    assert set(answers) == {200} and len(hooks.messages(source)) == 1


def test_a_key_is_forgotten_when_its_time_is_over(hooks):
    source = hooks.source("github", parameters={"secrets": [SECRET]})
    headers = github(b"{}")
    assert hooks.send(source, b"{}", headers).status == 200
    with sqlite3.connect(hooks.daemon.data / "keystile.db", timeout=30) as store:
        assert store.execute("UPDATE inbound_seen SET until = 1").rowcount > 0
    assert hooks.send(source, b"{}", headers).status == 200
    assert len(hooks.messages(source)) == 2


def test_forwarded_as_our_own_signed_event(hooks):
    """What came, bytes and headers, without its secrets, under a signature of ours."""
    body = '{"text":"Grüße"}'.encode() + b"\xff\x00"
    source = hooks.source("generic", "generic.shared-secret", {"secrets": [SECRET]})
    with Server() as server:
        made = hooks.call("POST", "/v1/webhook-endpoints", {"tenant": hooks.tenant, "url": f"http://127.0.0.1:{server.port}/in",
                                                            "events": ["inbound.received"]}, 201)
        sent = {"X-Webhook-Secret": SECRET, "X-Event": "a\"b", "Content-Type": "text/odd"}
        assert hooks.send(source, body, sent, rest="/deeper?a=%20").status == 200
        eventually(lambda: len(server.received), 1)
        headers, text = server.received[0]
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + text
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    event = json.loads(text)
    message = hooks.message(source)
    assert (event["type"], event["object"], event["data"]["source"], event["data"]["size"]) == ("inbound.received", message["id"], source, len(body))
    request = event["data"]["request"]
    assert base64.b64decode(request["body_base64"]) == body and request["target"] == f"/hooks/{source}/deeper?a=%20"
    kept = dict(request["headers"])
    assert kept["X-Event"] == 'a"b' and kept["X-Webhook-Secret"] == "***" and SECRET.encode() not in text


# ---- secrets ----

def test_secrets_of_a_provider_in_rotation():
    with service(KEYSTILE_VAULT_ROLLBACK_WINDOW_S="1") as hooks:
        provider = hooks.call("POST", "/v1/providers", {"tenant": hooks.tenant, "platform": "github", "name": "p"}, 201)["id"]
        source = hooks.source("github", provider=provider)

        def put(value):
            hooks.call("PUT", f"/v1/providers/{provider}/fields/webhook_secret", {"value": value})

        def taken(secret):
            return hooks.send(source, b"{}", github(b"{}", secret)).status

        assert taken("first") == 401 and hooks.call("GET", f"/v1/sources/{source}")["problem"]
        put("first")
        assert (taken("first"), taken("second")) == (200, 401)
        put("second")
        assert (taken("second"), taken("first")) == (200, 200)
        eventually(lambda: taken("first"), 401)
        assert taken("second") == 200
        audited = [e for e in hooks.call("GET", "/v1/audit?action=secret.verify&limit=500")["items"] if e["object"] == provider]
        assert 1 <= len(audited) <= 4
        hooks.call("DELETE", f"/v1/providers/{provider}")
        assert taken("second") == 401


def test_the_url_is_of_the_settings(hooks):
    source = hooks.source("twilio", parameters={"secrets": [SECRET]})
    fields = {"From": "+12125550100", "Body": "a b"}
    body, rest = urllib.parse.urlencode(fields), "/voice?x=1%20y"
    headers = twilio(f"{ORIGIN}/hooks/{source}{rest}", fields)
    spoofed = {"X-Forwarded-Host": "other.example", "X-Forwarded-Proto": "http", "Forwarded": "host=other.example"}
    assert hooks.send(source, body, {**headers, **spoofed, "Host": "other.example"}, rest=rest).status == 200
    headers = twilio(f"https://other.example/hooks/{source}{rest}", fields)
    assert hooks.send(source, body, {**headers, **spoofed, "Host": "other.example"}, rest=rest).status == 401


# ---- certificates ----

@pytest.fixture(scope="module")
def authority():
    return Authority()


def test_certificates_through_a_proxy(authority):
    cert, _ = authority.issue("platform.example")
    stranger, _ = Authority("another").issue("platform.example")

    def rfc9440(c):
        return {"Client-Cert": ":" + base64.b64encode(der(c)).decode() + ":"}

    def nginx(c):
        return {"Client-Cert": urllib.parse.quote(pem(c), safe="")}

    settings = {"KEYSTILE_HOOKS_CLIENT_CERTIFICATE_HEADER": "Client-Cert"}
    with service(KEYSTILE_PROXIES_TRUSTED="127.0.0.1", **settings) as hooks:
        source = hooks.source("generic", "generic.mtls", {"ca_pem": [authority.pem], "san": ["DNS:platform.example"]})
        for form in (rfc9440, nginx):
            assert [hooks.send(source, b"{}", form(c)).status for c in (cert, stranger)] == [200, 401]
        for wrong in ({}, {"Client-Cert": ""}, {"Client-Cert": ":x:"}, {"Client-Cert": "%2"}, {"Client-Cert": "junk"}, {"Client-Cert": ":"}):
            assert hooks.send(source, b"{}", wrong).status == 401
    with service(**settings) as hooks:
        source = hooks.source("generic", "generic.mtls", {"ca_pem": [authority.pem]})
        assert [hooks.send(source, b"{}", form(cert)).status for form in (rfc9440, nginx)] == [401, 401]


def tls_client(port, root, cert=None):
    context = ssl.create_default_context(cadata=root.pem)
    context.check_hostname = False
    if cert:
        context.load_cert_chain(*cert)
    return keystile.Client(http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30))


def test_certificates_directly(authority, tmp_path):
    server = write(tmp_path, "server", *authority.issue("localhost", "server", address="127.0.0.1"))
    good = write(tmp_path, "good", *authority.issue("platform.example"))
    bad = write(tmp_path, "bad", *Authority("another").issue("platform.example"))
    with service(KEYSTILE_TLS_CERTIFICATE=server[0], KEYSTILE_TLS_KEY=server[1], KEYSTILE_TLS_CLIENT_OPTIONAL="true") as hooks:
        source = hooks.source("generic", "generic.mtls", {"ca_pem": [authority.pem], "san": ["DNS:platform.example"]})
        answers = [hooks.send(source, b"{}", client=tls_client(hooks.daemon.port, authority, cert)).status for cert in (good, bad, None)]
        assert answers == [200, 401, 401]
        # Who has none is served all the same.
        assert tls_client(hooks.daemon.port, authority).call("GET", "/livez").status == 200


NGINX = """daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_verify_client optional_no_ca;
    location / {{
      proxy_pass http://127.0.0.1:{service};
      proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_certificates_through_nginx(authority, tmp_path):
    server = write(tmp_path, "server", *authority.issue("localhost", "server", address="127.0.0.1"))
    good = write(tmp_path, "good", *authority.issue("platform.example"))
    bad = write(tmp_path, "bad", *Authority("another").issue("platform.example"))
    port = free_port()
    with service(KEYSTILE_PROXIES_TRUSTED="127.0.0.1", KEYSTILE_HOOKS_CLIENT_CERTIFICATE_HEADER="X-Client-Cert") as hooks, \
            tempfile.TemporaryDirectory() as folder:
        source = hooks.source("generic", "generic.mtls", {"ca_pem": [authority.pem]})
        (pathlib.Path(folder) / "conf").write_text(NGINX.format(folder=folder, port=port, cert=server[0], key=server[1], service=hooks.daemon.port))
        with subprocess.Popen(["nginx", "-c", f"{folder}/conf", "-p", folder], stderr=subprocess.DEVNULL) as nginx:
            try:
                eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)), 0)
                # What a client itself says of a certificate does not get through.
                claims = {"X-Client-Cert": urllib.parse.quote(pathlib.Path(good[0]).read_text(), safe="")}
                answers = [hooks.send(source, b"{}", claims, client=tls_client(port, authority, cert)).status for cert in (good, bad, None)]
                assert answers == [200, 401, 401]
            finally:
                nginx.terminate()


# ---- what is fetched ----

def sns_message(key, cert_url, kind="Notification", topic="arn:aws:sns:eu-west-1:1:t", **members):
    message = {"Type": kind, "MessageId": unique("m"), "TopicArn": topic, "Message": "hello", "SignatureVersion": "2",
               "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()), "SigningCertURL": cert_url, **members}
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"] if kind == "Notification" else \
        ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{n}\n{message[n]}\n" for n in names if n in message)
    message["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return json.dumps(message).encode()


def test_sns(authority, tmp_path):
    """The certificate is fetched from the scheme's hosts, once; the subscription is confirmed by whoever owns the source."""
    host = "127.77.0.1"
    key = rsa.generate_private_key(65537, 2048)
    signing, _ = authority.issue("sns.amazonaws.com", "server", key=key)
    (tmp_path / "root.pem").write_text(authority.pem)
    tls = write(tmp_path, "server", *authority.issue(host, "server", address=host))
    form = json.loads(json.dumps(AWS).replace("sns.{region}.amazonaws.com.cn", host).replace("sns.{region}.amazonaws.com", host))
    form["verify"][1]["x509"]["certificate_hosts"] = [host]
    form["confirm"]["hosts"] = [host]
    url = f"https://{host}/cert.pem"
    with Server(host, 443, tls) as server, service(KEYSTILE_FETCH_CA_FILE=tmp_path / "root.pem") as hooks:
        server.texts = {"/cert.pem": pem(signing), "/subscribe": "ok"}
        source = hooks.source("aws", form, {"topic_arns": ["arn:aws:sns:eu-west-1:1:t"], "trust_anchors_pem": [authority.pem]})
        elsewhere = sns_message(key, "https://127.0.0.2/cert.pem")
        assert hooks.send(source, elsewhere, {"Content-Type": "text/plain"}).status == 401 and server.asked == []
        body = sns_message(key, url)
        assert [hooks.send(source, body, {"Content-Type": "text/plain"}).status for _ in range(2)] == [200, 200]
        assert server.asked == ["/cert.pem"] and len(hooks.messages(source)) == 1
        assert hooks.send(source, body.replace(b"hello", b"hullo")).status == 401
        assert hooks.send(source, sns_message(rsa.generate_private_key(65537, 2048), url)).status == 401
        assert hooks.send(source, sns_message(key, url, topic="arn:aws:sns:eu-west-1:2:t")).status == 401
        ask = sns_message(key, url, "SubscriptionConfirmation", SubscribeURL=f"https://{host}/subscribe?Token=1", Token="1")
        assert hooks.send(source, ask).status == 200
        # Nothing is fetched by itself.
        assert server.asked == ["/cert.pem"]
        assert hooks.call("GET", f"/v1/sources/{source}")["confirm_url"] == f"https://{host}/subscribe?Token=1"
        assert hooks.call("POST", f"/v1/sources/{source}/confirm")["fetched"] == "ok"
        assert server.asked[-1] == "/subscribe?Token=1"
        assert hooks.call("GET", f"/v1/sources/{source}")["confirm_url"] is None
        # One that names another host is a message like any other.
        assert hooks.send(source, sns_message(key, url, "SubscriptionConfirmation", SubscribeURL="https://127.0.0.1/x", Token="1")).status == 200
        assert hooks.call("POST", f"/v1/sources/{source}/confirm")["fetched"] is None


def jwk_of(key, kid):
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "RS256", "use": "sig"}


def test_key_sets(hooks):
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    parameters = {"audience": ["https://x"], "email": ["push@example.com"]}

    def token(key, kid="a"):
        now = int(time.time())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        claims = {"iss": "https://accounts.google.com", "aud": "https://x", "email": "push@example.com", "email_verified": True, "iat": now, "exp": now + 600}
        return {"Authorization": "Bearer " + jwt.encode(claims, text, "RS256", {"kid": kid})}

    with Server() as server:
        server.texts["/certs"] = json.dumps({"keys": [jwk_of(keys[0], "a")]})
        source = hooks.source("google", parameters={**parameters, "jwks": {"url": f"http://127.0.0.1:{server.port}/certs"}})
        assert [hooks.send(source, b"{}", token(key)).status for key in keys] == [200, 401]
        for _ in range(20):
            assert hooks.send(source, b"{}", token(keys[0])).status == 200
        assert len(server.asked) <= 2
    for url in ("https://169.254.169.254/certs", "file:///etc/passwd", "https://user@example.com/", 1):
        refused = hooks.call("POST", "/v1/sources", {"tenant": hooks.tenant, "platform": "google", "name": "n",
                                                     "parameters": {**parameters, "jwks": {"url": url}}}, 422)
        assert refused["errors"][0]["pointer"] == "/parameters/jwks/url"


# ---- floods ----

def test_a_flood_of_forged_ones(hooks, tmp_path):
    source = hooks.source("github", parameters={"secrets": [SECRET]})
    body = tmp_path / "body"
    body.write_bytes(b'{"action":"opened"}' * 50)
    before = hooks.count("keystile_webhooks", outcome="refused")
    lines = len(hooks.daemon.log)
    command = ["ab", "-q", "-k", "-n", str(FORGED), "-c", "32", "-p", body, "-T", "application/json", "-H", "X-GitHub-Delivery: forged", "-H",
               "X-Hub-Signature-256: sha256=" + "0" * 64, f"http://127.0.0.1:{hooks.daemon.port}/hooks/{source}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as flood:
        sent = 0
        while flood.poll() is None:
            assert hooks.send(source, b"{}", github(b"{}")).status == 200
            sent += 1
        told = flood.stdout.read()
    assert flood.returncode == 0 and f"Non-2xx responses:      {FORGED}" in told, told
    assert hooks.count("keystile_webhooks", outcome="refused") - before == FORGED
    with sqlite3.connect(hooks.daemon.data / "keystile.db", timeout=30) as store:
        [(kept,)] = store.execute("SELECT count(*) FROM inbound WHERE source = (SELECT id FROM sources ORDER BY id DESC LIMIT 1)")
    assert sent > 10 and kept == sent
    assert len(hooks.daemon.log) - lines < 50


def test_an_origin_is_no_more_than_that():
    for origin in ("hooks.example.com", "https://hooks.example.com/path", "https://user@hooks.example.com", "ftp://hooks.example.com"):
        with keystile.temporary_data() as data:
            daemon = keystile.Daemon(data, env={"KEYSTILE_HOOKS_ORIGIN": origin}).start(wait=False)
            assert daemon.wait_exit() == 1 and "hooks.origin" in daemon.errors
