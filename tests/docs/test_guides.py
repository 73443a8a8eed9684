"""The guides, and docs/audit.md, do what they say."""
import pytest

import pages
from pages import DOCS, keystile

GUIDES = [*sorted((DOCS / "guides").glob("*.md")), DOCS / "audit.md"]


@pytest.mark.parametrize("guide", GUIDES, ids=[g.stem for g in GUIDES])
def test_a_guide_does_what_it_says(guide, tmp_path):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_DOMAIN": "voice.example"}) as daemon:
        (tmp_path / "policy.yaml").write_text(keystile.DEMO_POLICY.read_text(encoding="utf-8"), encoding="utf-8")
        pages.run(guide, daemon, tmp_path)


def test_there_is_a_guide_for_each_audience():
    assert {g.stem for g in GUIDES} >= {"platform-engineer", "tenant-administrator", "partner", "auditor"}
    for guide in GUIDES:
        assert sum(wanted is not None for _, _, wanted in pages.steps(guide)) >= 3, guide.name
