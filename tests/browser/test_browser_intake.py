"""The page of an intake link in Chromium, as people see it: on a telephone and on a desk, with scripts and without."""
import json
import os
import pathlib
import subprocess

import keystile
import pytest

from links_service import AUTH_TOKEN, PEM, World, link, path_of, provider

HERE = pathlib.Path(__file__).resolve().parent

PHONE = {"width": 390, "height": 844, "phone": True}
DESK = {"width": 1280, "height": 800}
PLACES = [pytest.param({**screen, "script": script}, id=f"{name}, scripts {'on' if script else 'off'}")
          for name, screen in (("telephone", PHONE), ("desk", DESK)) for script in (False, True)]


@pytest.fixture(scope="module")
def daemon():
    with keystile.temporary_data() as data, keystile.Daemon(data) as running:
        yield running


@pytest.fixture(scope="module")
def world(daemon):
    return World(daemon)


@pytest.fixture(scope="module")
def twilio(world):
    return provider(world.operator, world.acme)


@pytest.fixture(scope="module")
def chromium():
    with subprocess.Popen(["node", HERE / "drive.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()
        assert process.wait(keystile.PATIENCE_S) == 0


@pytest.fixture
def drive(daemon, chromium):
    """What Chromium saw of a link, after some steps. KEYSTILE_PICTURES names a folder for pictures."""
    def go(made, place, *steps, name=None, **more):
        pictures = os.environ.get("KEYSTILE_PICTURES")
        job = {"url": f"http://127.0.0.1:{daemon.port}{path_of(made)}", "steps": steps, **place, **more}
        if pictures and name:
            job["picture"] = str(pathlib.Path(pictures) / f"{name}-{place['width']}{'-dark' if more.get('dark') else ''}.png")
        chromium.stdin.write(json.dumps(job) + "\n")
        chromium.stdin.flush()
        seen = json.loads(chromium.stdout.readline())
        assert "error" not in seen, seen
        return seen
    return go


def control(seen, tag):
    return next(c for c in seen["controls"] if c["tag"] == tag)


def own_requests_alone(seen, made, daemon, count):
    """Nothing was fetched but the page itself, and where from was not told."""
    address = f"http://127.0.0.1:{daemon.port}{path_of(made)}"
    assert [(url, referrer) for _, url, referrer in seen["requests"]] == [(address, None)] * count
    assert seen["cookies"] == [] and seen["scripts"] == 0


@pytest.mark.parametrize("place", PLACES)
def test_a_value_is_entered(world, twilio, daemon, drive, place):
    made = link(world.operator, twilio, **{"for": "Jane Doe, network operations"})
    page = drive(made, place, name="form")
    own_requests_alone(page, made, daemon, 1)
    assert page["status"] == 200 and page["complaints"] == [] and not page["wide"]
    for part in ("Auth token for Twilio", "Jane Doe, network operations", "Open until", "UTC"):
        assert part in page["text"]
    field, button = control(page, "input"), control(page, "button")
    # Large enough for a thumb, and letters that do not make a telephone zoom.
    for c in (field, button):
        assert c["height"] >= 44 and c["width"] >= 250 and c["font"] >= 16
    assert button["bottom"] <= place["height"], "the button is below what the screen shows"
    assert field["type"] == "password" and field["autocomplete"] == "off" and field["labels"] == ["Auth token"]
    assert field["value"] == "" and None not in field["described"] and any("Twilio console" in d for d in field["described"])
    thanks = drive(made, place, {"fill": ["#value", AUTH_TOKEN]}, {"submit": "button"}, name="thanks")
    own_requests_alone(thanks, made, daemon, 2)
    assert thanks["status"] == 200 and "is in the vault" in thanks["text"] and thanks["complaints"] == []
    assert world.operator.get(f"/v1/links/{made['id']}").json["status"] == "used"
    gone = drive(made, place, name="gone")
    own_requests_alone(gone, made, daemon, 1)
    assert gone["status"] == 410 and "This link is not open." in gone["text"] and gone["controls"] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_value_is_entered_anew(world, twilio, daemon, drive, place):
    made = link(world.operator, twilio)
    wrong = drive(made, place, {"fill": ["#value", "not the token"]}, {"submit": "button"}, name="fault")
    own_requests_alone(wrong, made, daemon, 2)
    assert wrong["status"] == 422 and "Auth token has 32 of 0-9 and a-f" in wrong["text"] and not wrong["wide"]
    field = control(wrong, "input")
    assert field["value"] == "" and field["invalid"] == "true" and "Nothing was taken" in field["described"][0]
    right = drive(made, place, {"fill": ["#value", "not the token"]}, {"submit": "button"}, {"fill": ["#value", AUTH_TOKEN]}, {"submit": "button"})
    assert right["status"] == 200 and "Thank you." in right["text"]


@pytest.mark.parametrize("place", [PLACES[0], PLACES[3]])
@pytest.mark.parametrize("steps", [
    [{"file": ["#file", "private key.pem", PEM.replace("\n", "\r\n")]}],
    [{"fill": ["#value", PEM]}],
], ids=["file", "pasted"])
def test_a_key_file_is_handed_over(world, daemon, drive, place, steps):
    made = link(world.operator, provider(world.operator, world.acme, "vonage"), "private_key")
    page = drive(made, place, name="file")
    assert not page["wide"] and [c["labels"] for c in page["controls"][:2]] == [["Private key of the application"], ["Or paste what is in it"]]
    thanks = drive(made, place, *steps, {"submit": "button"})
    own_requests_alone(thanks, made, daemon, 2)
    assert thanks["status"] == 200 and "is in the vault" in thanks["text"]


def test_a_choice_is_made(world, daemon, drive):
    made = link(world.operator, provider(world.operator, world.acme, "sip-trunk"), "transport")
    thanks = drive(made, {**PHONE, "script": False}, {"choose": ["#value", "tls"]}, {"submit": "button"}, name="choice")
    assert thanks["status"] == 200
    own_requests_alone(thanks, made, daemon, 2)


def test_with_the_keyboard_alone(world, twilio, drive):
    made = link(world.operator, twilio)
    thanks = drive(made, {**DESK, "script": False}, {"press": "Tab"}, {"type": AUTH_TOKEN}, {"enter": True})
    assert thanks["status"] == 200 and "is in the vault" in thanks["text"]


def luminance(color):
    parts = [int(c) / 255 for c in color[color.index("(") + 1:-1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_dark_where_the_system_is(world, twilio, drive):
    made = link(world.operator, twilio)
    light, dark = drive(made, {**PHONE, "script": False}), drive(made, {**PHONE, "script": False}, dark=True, name="form")
    assert luminance(dark["background"]) < 0.05 < 0.7 < luminance(light["background"])
    for page in (light, dark):
        one, other = sorted((luminance(page["background"]), luminance(page["ink"])))
        assert (other + 0.05) / (one + 0.05) >= 7
