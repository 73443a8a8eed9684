"""One service for all tests of the API. Its usage is flushed often, so that tests see it soon."""
import pathlib

import keystile
import pytest

from api_service import World

SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_FETCH_ALLOW": "127.0.0.1"}


def pytest_collection_modifyitems(config, items):
    """What the whole suite must have seen is asked of a run of the whole suite alone."""
    whole = {path.name for path in pathlib.Path(__file__).parent.glob("test_api_*.py")}
    if not whole <= {item.path.name for item in items}:
        partial = [item for item in items if item.name == "test_every_operation_was_seen_to_succeed"]
        config.hook.pytest_deselected(items=partial)
        items[:] = [item for item in items if item not in partial]


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
