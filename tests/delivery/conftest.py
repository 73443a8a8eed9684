# SPDX-License-Identifier: Apache-2.0
"""A service that delivers, with short pauses, and a receiver."""
import pathlib
import sys

import pytest

import keystile
from receiver import Receiver

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

from delivery_service import Sender  # noqa: E402

SETTINGS = {"KEYSTILE_FETCH_ALLOW": "127.0.0.0/24", "KEYSTILE_DELIVERY_RETRY_FIRST_MS": "50", "KEYSTILE_DELIVERY_TIMEOUT_MS": "1500"}


@pytest.fixture(scope="session")
def daemon():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
def sender(daemon):
    return Sender(daemon)


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running
