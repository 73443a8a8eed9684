#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS: what is spoken, certificates exchanged while serving, and clients that must show one."""
import shutil
import socket
import ssl
import subprocess
import warnings

import pytest

from conftest import PATIENCE, Client

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made with openssl")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE)


def make_authority(directory, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.pem"))


def make_certificate(directory, name, authority, purpose):
    extensions = directory / f"{name}.ext"
    extensions.write_text(f"extendedKeyUsage={purpose}\nsubjectAltName=IP:127.0.0.1\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.csr"))
    openssl("x509", "-req", "-days", "2", "-in", str(directory / f"{name}.csr"), "-CA", str(directory / f"{authority}.pem"),
            "-CAkey", str(directory / f"{authority}.key"), "-CAcreateserial", "-extfile", str(extensions),
            "-out", str(directory / f"{name}.pem"))


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    make_authority(directory, "authority")
    make_authority(directory, "stranger")
    make_certificate(directory, "one", "authority", "serverAuth")
    make_certificate(directory, "two", "authority", "serverAuth")
    make_certificate(directory, "client", "authority", "clientAuth")
    make_certificate(directory, "intruder", "stranger", "clientAuth")
    return directory


@pytest.fixture
def secure(serve, pki, tmp_path):
    """A server whose files may be exchanged: copies of the module's."""
    for suffix in ("pem", "key"):
        shutil.copy(pki / f"one.{suffix}", tmp_path / f"server.{suffix}")
    shutil.copy(pki / "authority.pem", tmp_path / "ca.pem")

    def start(**options):
        server = serve(cert=tmp_path / "server.pem", key=tmp_path / "server.key", **options)
        server.files = tmp_path
        return server

    return start


def context(pki, certificate=None, version=None):
    made = ssl.create_default_context(cafile=str(pki / "authority.pem"))
    if certificate:
        made.load_cert_chain(str(pki / f"{certificate}.pem"), str(pki / f"{certificate}.key"))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(server, made):
    sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    return Client(made.wrap_socket(sock, server_hostname="127.0.0.1"))


def name_of(client):
    return dict(part[0] for part in client.sock.getpeercert()["subject"])["commonName"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests(secure, pki, version):
    server = secure()
    with connect(server, context(pki, version=version)) as client:
        seen = client.ask("/a").json()
        assert seen["tls"] and seen["peer"] == "127.0.0.1"
        assert client.ask("/a", method="POST", body=b"b" * 100000).json()["body_size"] == 100000
        assert client.ask("/pending").body == b"completed"
        assert client.ask("/big?3000000").body == b"b" * 3000000
        assert client.ask("/small", method="POST", body=b"b" * 17).status == 413
        assert client.rest() == b""


def test_a_refusal_in_mid_body(secure, pki):
    server = secure()
    with connect(server, context(pki)) as client:
        client.send(b"POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + b"b" * 32)
        assert client.response().status == 413
    with connect(server, context(pki)) as client:
        client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n")
        assert client.response().status == 400


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_not_spoken(secure, pki, version):
    server = secure()
    made = context(pki)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = getattr(ssl.TLSVersion, version)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        connect(server, made)


def test_plain_http_on_the_tls_port(secure):
    server = secure()
    assert b"HTTP" not in server.once(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")


def test_certificates_are_exchanged(secure, pki):
    server = secure()
    with connect(server, context(pki)) as before:
        assert name_of(before) == "one"
        for suffix in ("pem", "key"):
            shutil.copy(pki / f"two.{suffix}", server.files / f"server.{suffix}")
        assert before.ask("/reload").status == 200
        with connect(server, context(pki)) as after:
            assert name_of(after) == "two"
            assert after.ask("/a").status == 200
        assert before.ask("/a").status == 200


@pytest.mark.parametrize("what", ["missing", "garbage", "another key"])
def test_bad_files_change_nothing(secure, pki, what):
    server = secure()
    if what == "missing":
        (server.files / "server.pem").unlink()
    elif what == "garbage":
        (server.files / "server.pem").write_text("nothing of use\n")
    else:
        shutil.copy(pki / "two.key", server.files / "server.key")
    with connect(server, context(pki)) as client:
        response = client.ask("/reload")
        assert (response.status, response.body) == (500, b"malformed")
    with connect(server, context(pki)) as client:
        assert name_of(client) == "one"


def test_a_key_of_another_certificate_does_not_start(serve, pki):
    server = serve(cert=pki / "one.pem", key=pki / "two.key")
    assert server.said == "failed malformed: the key is not that of the certificate"
    assert server.process.wait(PATIENCE) == 1


def handshake_holds(server, made):
    """Whether a request gets through; with TLS 1.3 the client learns of a refusal only after its own part."""
    try:
        with connect(server, made) as client:
            return client.ask("/a").status == 200
    except (ssl.SSLError, OSError, AssertionError):
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_must_show_a_certificate(secure, pki, version):
    server = secure(ca=pki / "authority.pem")
    assert handshake_holds(server, context(pki, "client", version))
    assert not handshake_holds(server, context(pki, None, version))
    assert not handshake_holds(server, context(pki, "intruder", version))
    assert not handshake_holds(server, context(pki, "one", version)), "a server's certificate is no client's"


def test_a_slow_handshake_is_cut(secure, pki):
    server = secure(request=2000, idle=600000)
    with server.connect() as client:
        client.send(b"\x16\x03\x01\x02\x00\x01")
        assert client.rest() == b""
    with connect(server, context(pki)) as client:
        assert client.ask("/figures").json()["deadline"] >= 1


def test_a_slow_request_is_cut(secure, pki):
    server = secure(request=2000, idle=600000)
    with connect(server, context(pki)) as client:
        assert client.ask("/a").status == 200
        client.send(b"GET /a HTTP/1.1\r\nHo")
        assert client.rest() == b""


def test_an_idle_connection_is_ended(secure, pki):
    server = secure(request=600000, idle=1000)
    with connect(server, context(pki)) as client:
        assert client.ask("/a").status == 200
        assert client.rest() == b""


def test_the_local_socket_stays_plain(secure, tmp_path):
    server = secure(socket=str(tmp_path / "sock"))
    with server.connect_local() as client:
        seen = client.ask("/a").json()
        assert seen["local"] and not seen["tls"]
