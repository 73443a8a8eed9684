"""A newcomer, by docs/vault.md alone: a trunk is connected by an intake link, read by the runtime, rotated, refuses; the audit is verified."""
import contextlib
import os
import signal
import socket

import pages
from pages import DOCS, keystile

PAGE = DOCS / "vault.md"


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_newcomer_gets_a_trunk_to_work(tmp_path):
    (tmp_path / "examples").symlink_to(keystile.SOURCE / "examples")
    # The links' addresses have the port by which the service was told to listen.
    listen = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    try:
        with keystile.temporary_data() as data, keystile.Daemon(data, listen=listen, env={"KEYSTILE_FETCH_ALLOW": "127.0.0.1"}) as daemon:
            pages.run(PAGE, daemon, tmp_path, {"HOST": "127.0.0.1", "PORT": free_port(socket.SOCK_DGRAM)})
    finally:
        # Kamailio has a group of its own.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((tmp_path / "trunk.pid").read_text()), signal.SIGTERM)


def test_each_step_shows_what_it_did():
    found = pages.steps(PAGE)
    assert len(found) >= 9 and sum(wanted is not None for _, _, wanted in found) >= 7
