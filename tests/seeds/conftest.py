"""One service for all rows, with what the seeds name: header patterns, a domain of space URLs."""
import sys

import keystile
import pytest

sys.path.insert(0, str(keystile.SOURCE / "tests" / "api"))

from api_service import World  # noqa: E402

SETTINGS = {
    "KEYSTILE_DOMAIN": "space.test",
    "KEYSTILE_USAGE_FLUSH_MS": "100",
    # A burst of refusals is one of ten, here.
    "KEYSTILE_NOTICE_DENIALS": "10",
    "KEYSTILE_PROXIES_COUNT": "1",
    "KEYSTILE_CREDENTIALS_HEADERS": "tenant=X-Tenant-Key,partner=X-Partner-Key,runtime=X-Runtime-Key",
}


@pytest.fixture(scope="session")
def daemon():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
def world(daemon):
    return World(daemon)


@pytest.fixture(scope="session")
def operator(world):
    return world.operator
