"""Platform files: the catalogue as callers see it, an operator's own files, SIGHUP, and `keystile platforms`."""
import json
import shutil
import signal
import subprocess

import pytest

import keystile

SHIPPED = sorted(path.stem for path in (keystile.SOURCE / "platforms").glob("*.yaml"))
ASKED_FOR = {"sip-trunk", "sip-trunk-ip", "twilio", "signalwire", "telnyx", "vonage", "plivo", "bandwidth", "sinch", "amazon-connect",
             "amazon-connect-role", "genesys-cloud", "five9", "ringcentral", "zoom", "livekit", "oauth2-client", "api-key"}

ACME = """version: 1
name: acme
label: Acme Voice
about: An account of Acme Voice.
fields:
  account:
    label: Account number
    type: text
    pattern: "AC[0-9]{8}"
    message: begins with AC, then has 8 digits
    example: AC00012345
  token: {label: API token, type: secret}
probe: {kind: http, url: "https://api.acme.example/${account}", bearer: "${token}"}
webhook:
  acme.hmac:
    warnings: [no_timestamp]
    settings: {secrets: {type: secrets, fields: [token]}}
    vars: {sig: {from: "header:X-Acme"}}
    verify:
      - hmac: {digest: sha256, secrets: $secrets, content: "{body}", encoding: hex, signature: sig}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "acme.yaml").write_text(ACME)
    return folder


@pytest.fixture(scope="module")
def daemon(own):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_PLATFORMS_OWN": own}) as running:
        yield running


def ask(daemon, target):
    return daemon.local().call("GET", target).json


def names(daemon):
    return [p["name"] for p in ask(daemon, "/v1/platforms?limit=500")["items"]]


def test_all_that_are_asked_for_are_there(daemon):
    assert ASKED_FOR <= set(SHIPPED)
    assert names(daemon) == sorted([*SHIPPED, "acme"])


def test_a_new_platform_needs_no_code(daemon):
    record = ask(daemon, "/v1/platforms/acme")
    assert record["own"] and record["probe"] == {"kind": "http", "fields": ["account", "token"]}
    assert record["fields"][0]["message"] == "begins with AC, then has 8 digits"
    assert record["webhook"]["acme.hmac"]["verify"][0]["hmac"]["digest"] == "sha256"


def test_a_provider_of_a_new_platform(daemon):
    """Its fields are the file's, and its values are held against the file's forms, with the file's words."""
    owner = daemon.local()
    tenant = owner.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme of ours"}).json["id"]
    made = owner.call("POST", "/v1/providers", {"tenant": tenant, "platform": "acme", "name": "ours"})
    assert made.status == 201, made.body
    fields = f"/v1/providers/{made.json['id']}/fields"
    wrong = owner.call("PUT", f"{fields}/account", {"value": "AC1"})
    assert wrong.status == 422 and "Account number begins with AC, then has 8 digits, such as AC00012345" in wrong.body.decode()
    assert owner.call("PUT", f"{fields}/colour", {"value": "red"}).status in (404, 422)
    assert owner.call("PUT", f"{fields}/account", {"value": "AC00012345"}).status in (200, 201, 202)


def test_a_bad_scheme_is_told_with_its_line(tmp_path):
    bad = tmp_path / "acme.yaml"
    bad.write_text(ACME.replace("sha256", "sha255"))
    done = keystile.run("platforms", "check", bad)
    assert done.code == 1 and f"{bad}:20:24: webhook: " in done.err, done


def test_reload(daemon, own):
    """A bad file changes nothing at all; a good one counts at once, and may take the place of one of ours."""
    (own / "beta.yaml").write_text(ACME.replace("name: acme", "name: beta"))
    (own / "gamma.yaml").write_text("version: 1\nname: gamma\n")
    daemon.process.send_signal(signal.SIGHUP)
    said = daemon.wait_event("reload_refused")
    assert "gamma.yaml:1:1: a platform file has no label" in json.dumps(said)
    assert "beta" not in names(daemon)
    (own / "gamma.yaml").unlink()
    (own / "zoom.yaml").write_text(ACME.replace("name: acme", "name: zoom"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_event("platforms_loaded", 1)
    assert "beta" in names(daemon)
    assert ask(daemon, "/v1/platforms/zoom")["label"] == "Acme Voice"
    for name in ("beta", "zoom"):
        (own / f"{name}.yaml").unlink()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_event("platforms_loaded", 2)
    assert names(daemon) == sorted([*SHIPPED, "acme"])


def test_a_bad_file_is_no_start(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "acme.yaml").write_text(ACME.replace("type: secret", "type: secrets"))
    with keystile.temporary_data() as data:
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={"KEYSTILE_PLATFORMS_OWN": own})
        assert done.code != 0 and "acme.yaml:12:35: 'secrets' is no type" in done.err
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={"KEYSTILE_PLATFORMS_OWN": tmp_path / "nowhere"})
        assert done.code != 0 and "nowhere" in done.err


# ---- the command line ----

def test_check(tmp_path):
    good, bad, gone = tmp_path / "acme.yaml", tmp_path / "bad.yaml", tmp_path / "gone.yaml"
    good.write_text(ACME)
    bad.write_text(ACME.replace("name: acme", "name: bad").replace("AC[0-9]{8}", "AC[0-9]{8"))
    done = keystile.run("platforms", "check", good)
    assert (done.code, done.out, done.err) == (0, "", "")
    done = keystile.run("platforms", "check", bad, good)
    assert done.code == 1 and f"{bad}:9:14: the pattern has a {{ that is not followed by numbers" in done.err
    done = keystile.run("platforms", "check", bad, "--json")
    problem = json.loads(done.err)
    assert done.code == 1 and (problem["file"], problem["line"], problem["column"]) == (str(bad), 9, 14)
    assert keystile.run("platforms", "check", gone).code == 1
    assert keystile.run("platforms", "check").code == 2
    other = tmp_path / "other.yaml"
    other.write_text(ACME)
    assert "the file must be called acme.yaml" in keystile.run("platforms", "check", other).err


def test_files_of_the_project_are_good():
    files = sorted((keystile.SOURCE / "platforms").glob("*.yaml"))
    for at in range(0, len(files), 8):
        done = keystile.run("platforms", "check", *files[at:at + 8])
        assert (done.code, done.err) == (0, "")


def test_list_and_show(daemon, tmp_path):
    """With a service and without one."""
    done = keystile.run("platforms", "list", "--json", "--limit", "500", data=daemon.data)
    assert [p["name"] for p in json.loads(done.out)["items"]] == names(daemon)
    shown = keystile.run("platforms", "show", "twilio", data=daemon.data)
    assert shown.code == 0 and "auth_token  Auth token" in shown.out and "required, secret" in shown.out and "probe: http" in shown.out
    assert keystile.run("platforms", "show", "nothing", data=daemon.data).code == 1
    good = tmp_path / "acme.yaml"
    good.write_text(ACME)
    by_file = json.loads(keystile.run("platforms", "show", "--file", good, "--json").out)
    assert by_file == ask(daemon, "/v1/platforms/acme")
    with keystile.temporary_data() as data:
        keystile.init(data)
        done = keystile.run("platforms", "show", "zoom", "--json", data=data)
        assert done.code == 0 and json.loads(done.out)["name"] == "zoom"


def test_pages_and_tables_are_up_to_date():
    done = subprocess.run([keystile.SOURCE / "tools" / "platform-pages.py", keystile.PROGRAM, "--check"], capture_output=True, text=True,
                          env=keystile.environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_in_the_guide_is_good(tmp_path):
    guide = (keystile.SOURCE / "docs" / "platforms.md").read_text(encoding="utf-8")
    example = tmp_path / "acme.yaml"
    example.write_text(guide.split("```yaml\n")[1].split("```")[0])
    assert keystile.run("platforms", "check", example) == (0, "", "")


def test_what_is_installed(tmp_path):
    """The list of files to install has all of them, and a program finds them in its prefix."""
    assert sorted(path.stem for path in (keystile.BUILD / "platforms").glob("*.yaml")) == SHIPPED
    prefix = tmp_path / "usr"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "share" / "keystile").mkdir(parents=True)
    for program in ("keystile", "keystile-keeper"):
        shutil.copy2(keystile.BUILD / program, prefix / "bin" / program)
    shutil.copytree(keystile.BUILD / "platforms", prefix / "share" / "keystile" / "platforms")
    with keystile.temporary_data() as data:
        keystile.init(data)
        done = keystile.run("platforms", "list", "--json", "--limit", "500", data=data, program=prefix / "bin" / "keystile")
        assert [p["name"] for p in done.json["items"]] == SHIPPED
