import sys

import keystile
import pytest

sys.path.insert(0, str(keystile.SOURCE / "tests" / "api"))

from peers import Peers  # noqa: E402


@pytest.fixture
def peers(tmp_path):
    made = Peers(tmp_path)
    yield made
    made.end()
