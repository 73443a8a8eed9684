# SPDX-License-Identifier: Apache-2.0
"""Every public vector is decided as it says by the schemes of the platform files, and what must follow from it follows."""
import collections
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

SOURCE = pathlib.Path(os.environ.get("KEYSTILE_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("KEYSTILE_BUILD", SOURCE / "build"))
VECTORS = SOURCE / "tests/vectors/webhooks/vectors-public.json"


def schemes():
    found = {}
    for path in sorted((SOURCE / "platforms").glob("*.yaml")):
        for name, form in (yaml.safe_load(path.read_text(encoding="utf-8")).get("webhook") or {}).items():
            assert name not in found, f"{name} is in two platform files"
            found[name] = form
    return found


@pytest.fixture(name="outcome", scope="module")
def outcome_of_the_runner(tmp_path_factory):
    forms = tmp_path_factory.mktemp("forms") / "forms.json"
    forms.write_text(json.dumps(schemes()), encoding="utf-8")
    return subprocess.run([BUILD / "tests/hooksig_vectors", forms, VECTORS], capture_output=True, text=True, check=False, timeout=120)


def test_every_vector(outcome):
    assert outcome.returncode == 0, outcome.stdout[-4000:]
    vectors, decisions = map(int, re.search(r"(\d+) vectors, (\d+) decisions", outcome.stdout).groups())
    assert vectors == 1010
    assert decisions > 100 * 328, "each accepted one was tried in many ways"


def test_what_is_signed_is_accepted(outcome):
    assert "signed backwards" not in outcome.stdout
    assert int(re.search(r"(\d+) signed", outcome.stdout).group(1)) > 150


def test_each_scheme_with_vectors_is_in_a_platform_file():
    vectors = collections.Counter(v["scheme"] for v in json.loads(VECTORS.read_text(encoding="utf-8")))
    assert set(vectors) <= set(schemes())
