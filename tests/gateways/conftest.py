"""One service, one application and one of each gateway for all tests; tests that stop one of them start their own."""
import keystile
import pytest

import gateway_support as support
from api_service import World
from gateway_support import GATEWAYS, SETTINGS


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


@pytest.fixture(scope="session")
def application():
    running = support.Application()
    yield running
    running.close()


@pytest.fixture(scope="session", params=list(GATEWAYS))
def gateway(request, daemon, application):
    with GATEWAYS[request.param](daemon.port, application.port) as running:
        yield running


@pytest.fixture(autouse=True)
def forgotten(application):
    """Each test sees its own requests alone."""
    application.taken()


@pytest.fixture
def wire(gateway):
    with support.Wire(gateway.port) as connection:
        yield connection


@pytest.fixture(scope="session")
def reader(world, operator):
    """A key of acme's that may read contacts."""
    return operator.make_key(tenant=world.acme, scopes=["contacts:read"])


@pytest.fixture(scope="session")
def writer(world, operator):
    return operator.make_key(tenant=world.acme, scopes=["contacts:read", "contacts:write"])


@pytest.fixture(scope="session")
def partner_key(world, operator):
    return operator.make_key(tenant=world.partner, scopes=["contacts:read", "contacts:write"])
