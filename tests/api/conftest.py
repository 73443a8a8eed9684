"""One service for all tests of the API. Its usage is flushed often, so that tests see it soon."""
import keystile
import pytest

from api_service import World

SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_FETCH_ALLOW": "127.0.0.1"}


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
