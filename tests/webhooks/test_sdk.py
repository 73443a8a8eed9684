# SPDX-License-Identifier: Apache-2.0
"""What the platforms' own libraries (npm) sign is accepted; the same with another key, body or URL is refused."""
import json
import pathlib
import subprocess

import pytest

from test_vectors import BUILD, schemes

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(name="signed", scope="module")
def signed_by_the_libraries():
    assert (HERE / "node_modules").is_dir(), "npm ci --prefix tests/webhooks"
    done = subprocess.run(["node", HERE / "sign.mjs"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_what_libraries_sign(signed, tmp_path):
    forms, vectors = tmp_path / "forms.json", tmp_path / "vectors.json"
    forms.write_text(json.dumps(schemes()), encoding="utf-8")
    vectors.write_text(json.dumps(signed), encoding="utf-8")
    done = subprocess.run([BUILD / "tests/hooksig_vectors", forms, vectors], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:]


def test_of_each_library_there_is_something_genuine_and_something_wrong(signed):
    for scheme in {v["scheme"] for v in signed}:
        assert {v["expect"] for v in signed if v["scheme"] == scheme} == {"accept", "reject"}
    assert len({v["scheme"] for v in signed}) >= 9
