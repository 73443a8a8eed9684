#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The local socket, which is its owner's alone."""
import os
import pathlib
import socket
import stat
import subprocess
import sys

import pytest

from conftest import PATIENCE


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "sock")


def test_who_may_connect(serve, path):
    server = serve(socket=path)
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    with server.connect_local() as client:
        seen = client.ask("/a").json()
        assert seen["local"] and not seen["tls"] and seen["peer"] == ""
        assert client.ask("/next", method="POST", body=b"abc").json()["body"] == "abc"
    assert not server.ask("/a").json()["local"]


def test_without_tcp(serve, path):
    server = serve(socket=path)
    alone = serve(listen="127.0.0.1:0", socket=path + "2")
    assert server.port != alone.port


CONNECT_AS_NOBODY = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /a HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(repr(s.recv(4096)))
except OSError as problem:
    print(type(problem).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_are_turned_away(serve, path):
    """By the file's mode, and where that was changed by hand, by their user id."""
    server = serve(socket=path)
    directory = pathlib.Path(path)
    while directory != directory.parent:
        directory = directory.parent
        if directory != pathlib.Path("/") and not directory.stat().st_mode & 0o1:
            directory.chmod(directory.stat().st_mode | 0o011)

    def nobody():
        run = subprocess.run([sys.executable, "-c", CONNECT_AS_NOBODY, path], capture_output=True, text=True, timeout=PATIENCE)
        return run.stdout.strip()

    assert nobody() == "PermissionError"
    os.chmod(path, 0o666)
    assert nobody() in ("b''", "BrokenPipeError", "ConnectionResetError")
    assert server.figures()["local_peer"] == 1


def test_a_socket_that_was_left(serve, path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.listen()
    left.close()
    server = serve(socket=path)
    with server.connect_local() as client:
        assert client.ask("/a").status == 200
    server.finish()
    assert not os.path.exists(path)


def test_a_socket_that_is_served(serve, path):
    first = serve(socket=path)
    second = serve(socket=path)
    assert second.said == "failed busy: the local socket is served by another process"
    assert second.process.wait(PATIENCE) == 1
    with first.connect_local() as client:
        assert client.ask("/a").status == 200


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_stays(serve, path, kind):
    if kind == "file":
        pathlib.Path(path).write_text("precious")
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink("elsewhere", path)
    server = serve(socket=path)
    assert server.said == "failed malformed: the local socket's path is taken by something that is no socket"
    assert server.process.wait(PATIENCE) == 1
    assert os.path.lexists(path)
    if kind == "file":
        assert pathlib.Path(path).read_text() == "precious"


@pytest.mark.parametrize("bad", ["x" * 200, "/nowhere/sock"])
def test_bad_paths(serve, bad):
    server = serve(socket=bad)
    assert server.said.startswith("failed ")
    assert server.process.wait(PATIENCE) == 1


def test_strangers_do_not_lock_the_owner_out(serve, path):
    server = serve(socket=path, connections=2)
    clients = [server.connect(), server.connect()]
    for client in clients:
        assert client.ask("/a").status == 200
    with server.connect_local() as client:
        assert client.ask("/figures").json()["open"] == 3
    for client in clients:
        client.close()


def test_deadlines_hold_here_too(serve, path):
    server = serve(socket=path, request=300, idle=300)
    for part in (b"", b"GET /a HT", b"GET /a HTTP/1.1\r\nHost", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"):
        with server.connect_local() as client:
            client.send(part)
            assert client.rest() == b""
