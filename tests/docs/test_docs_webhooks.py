"""A newcomer, by docs/webhooks/start.md alone: a request that Twilio's own library signs is verified, and arrives as our signed event at
`keystile webhooks listen`."""
import socket

import pages
from pages import DOCS, keystile

PAGE = DOCS / "webhooks" / "start.md"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_newcomer_sees_twilio_arrive(tmp_path):
    libraries = keystile.SOURCE / "tests" / "webhooks" / "node_modules"
    assert (libraries / "twilio").is_dir(), "npm ci --prefix tests/webhooks"
    (tmp_path / "node_modules").symlink_to(libraries)
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_FETCH_ALLOW": "127.0.0.1"}) as daemon:
        pages.run(PAGE, daemon, tmp_path, {"PORT": free_port()})


def test_each_step_shows_what_it_did():
    found = pages.steps(PAGE)
    assert len(found) == 5 and all(wanted is not None for _, _, wanted in found)
