"""Logins against the certified oidc-provider (npm), through its own pages."""
import http.cookies
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

import keystile

HERE = pathlib.Path(__file__).resolve().parent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Provider:
    def __init__(self, redirect):
        self.process = subprocess.Popen(["node", "op.mjs", redirect], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.url = f"http://127.0.0.1:{self.wait('up ')}"

    def wait(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return line[len(word):].strip()
        raise AssertionError("the provider ended")

    def rotate(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait("rotated")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(keystile.PATIENCE_S)


class Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    """A cookie jar by origin, and the patience to fill in forms."""

    def __init__(self):
        self.jar = {}
        self.opener = urllib.request.build_opener(Still, urllib.request.ProxyHandler({}))

    def fetch(self, url, form=None):
        origin = urllib.parse.urlsplit(url).netloc
        cookies = self.jar.setdefault(origin, {})
        request = urllib.request.Request(url, urllib.parse.urlencode(form).encode() if form else None)
        if cookies:
            request.add_header("Cookie", "; ".join(f"{k}={v}" for k, v in cookies.items()))
        try:
            response = self.opener.open(request, timeout=keystile.PATIENCE_S)
        except urllib.error.HTTPError as error:
            response = error
        for line in response.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                cookies[name] = morsel.value
        return response.status, response.headers, response.read().decode()

    def log_in(self, url, stop, name="alice"):
        """From `url` through the provider's pages to the one that begins with `stop`, which is not asked for."""
        for _ in range(20):
            if url.startswith(stop):
                return url
            status, headers, page = self.fetch(url)
            if status not in (302, 303):
                action = re.search(r'action="([^"]+)"', page).group(1)
                prompt = re.search(r'name="prompt" value="([^"]+)"', page).group(1)
                _, headers, _ = self.fetch(action, {"prompt": prompt, "login": name, "password": "x"})
            url = urllib.parse.urljoin(url, headers["Location"])
        raise AssertionError("the provider's pages lead nowhere")


class Scene:
    def __init__(self, daemon, provider, base, made):
        self.daemon, self.provider, self.base, self.made = daemon, provider, base, made

    def start(self, browser):
        status, headers, page = browser.fetch(f"{self.base}/v1/session/oidc/{self.made['id']}/start")
        assert status == 303, page
        return headers["Location"]

    def come_back(self, browser, name="alice"):
        return browser.log_in(self.start(browser), f"{self.base}/v1/session/oidc/callback", name)


@pytest.fixture
def scene():
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    provider = Provider(f"{base}/v1/session/oidc/callback")
    settings = {"KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_ISSUER_URL": base}
    try:
        with keystile.temporary_data() as data, keystile.Daemon(data, listen=f"127.0.0.1:{port}", env=settings) as daemon:
            call = lambda path, body: daemon.call("POST", path, body, token=daemon.first_key)
            organization = call("/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]
            made = call("/v1/identity-providers", {
                "organization": organization, "name": "Directory", "issuer": provider.url, "client_id": "console",
                "client_secret": "console secret: +/%", "domains": ["example.com"], "auto_create": True,
                "default_role": "member"}).json
            yield Scene(daemon, provider, base, made)
    finally:
        provider.stop()


def changed(url, **query):
    parts = urllib.parse.urlsplit(url)
    return parts._replace(query=urllib.parse.urlencode({**dict(urllib.parse.parse_qsl(parts.query)), **query})).geturl()


def test_a_login(scene):
    browser = Browser()
    status, headers, page = browser.fetch(scene.come_back(browser))
    assert status == 200 and "You are logged in" in page
    status, _, body = browser.fetch(f"{scene.base}/v1/session")
    assert status == 200 and '"alice@example.com"' in body


def test_an_address_that_is_not_verified(scene):
    browser = Browser()
    assert browser.fetch(scene.come_back(browser, "mallory"))[0] == 401


def test_wrong_nonce(scene):
    browser = Browser()
    url = browser.log_in(changed(scene.start(browser), nonce="another"), f"{scene.base}/v1/session/oidc/callback")
    assert browser.fetch(url)[0] == 401


def test_a_state_and_a_code_are_used_once(scene):
    browser = Browser()
    url = scene.come_back(browser)
    kept = {origin: dict(cookies) for origin, cookies in browser.jar.items()}
    assert browser.fetch(url)[0] == 200
    assert browser.fetch(url)[0] == 401
    browser.jar = kept
    assert browser.fetch(url)[0] == 401
    # The old code with the state of another login.
    old = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["code"]
    assert browser.fetch(changed(scene.come_back(browser), code=old))[0] == 401


def test_mixed_up_issuer(scene):
    browser = Browser()
    url = scene.come_back(browser)
    assert "iss=" in url
    assert browser.fetch(changed(url, iss="https://somebody.example"))[0] == 401


def test_wrong_verifier(scene):
    browser = Browser()
    url = browser.log_in(changed(scene.start(browser), code_challenge="A" * 43), f"{scene.base}/v1/session/oidc/callback")
    assert browser.fetch(url)[0] == 401


def test_rotated_keys(scene):
    browser = Browser()
    assert browser.fetch(scene.come_back(browser))[0] == 200
    scene.provider.rotate()
    browser = Browser()
    assert browser.fetch(scene.come_back(browser))[0] == 200


def test_a_provider_that_is_down(scene):
    browser = Browser()
    url = scene.come_back(browser)
    scene.provider.process.kill()
    scene.provider.process.wait()
    assert browser.fetch(url)[0] == 503
