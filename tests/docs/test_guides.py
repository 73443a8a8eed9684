"""The guides are run as they stand: every `sh` block of docs/guides/*.md and docs/audit.md, in order, in one shell, against a service of
its own; where a `text` block follows, it is what the commands print, `…` standing for whatever differs each time."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import keystile  # noqa: E402

GUIDES = [*sorted((keystile.SOURCE / "docs" / "guides").glob("*.md")), keystile.SOURCE / "docs" / "audit.md"]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)


def steps(guide):
    """(line, commands, what they print or None)."""
    text = guide.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        line = text[:block.start()].count("\n") + 2
        if block.group(1) == "sh":
            found.append([line, block.group(2), None])
        else:
            assert found and found[-1][2] is None, f"{guide.name}:{line}: output of no commands"
            found[-1][2] = block.group(2)
    return found


def pattern(wanted):
    return re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", wanted.strip())) + r"\s*\Z", re.S)


@pytest.mark.parametrize("guide", GUIDES, ids=[g.stem for g in GUIDES])
def test_a_guide_does_what_it_says(guide, tmp_path):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_DOMAIN": "voice.example"}) as daemon:
        program = tmp_path / "bin"
        program.mkdir()
        (program / "keystile").symlink_to(keystile.PROGRAM)
        (tmp_path / "policy.yaml").write_text(keystile.DEMO_POLICY.read_text(encoding="utf-8"), encoding="utf-8")
        env = keystile.environment({"PATH": f"{program}:{os.environ['PATH']}", "KEYSTILE_DATA": data,
                                    "KS": f"http://127.0.0.1:{daemon.port}", "OPERATOR": daemon.first_key})
        shell = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, cwd=tmp_path, env=env)
        found = steps(guide)
        script = "".join(f"{commands}\necho '<<{n}>>'\n" for n, (_, commands, _) in enumerate(found))
        out, _ = shell.communicate(script, timeout=keystile.PATIENCE_S)
        parts = re.split(r"<<\d+>>\n", out)
        assert shell.returncode == 0 and len(parts) == len(found) + 1, f"{guide.name}: stopped after\n{out[-3000:]}"
        for (line, commands, wanted), printed in zip(found, parts):
            if wanted is not None:
                assert pattern(wanted).match(printed.strip()), f"{guide.name}:{line}: prints\n{printed}\nnot\n{wanted}"


def test_there_is_a_guide_for_each_audience():
    assert {g.stem for g in GUIDES} >= {"platform-engineer", "tenant-administrator", "partner", "auditor"}
    for guide in GUIDES:
        assert sum(wanted is not None for _, _, wanted in steps(guide)) >= 3, guide.name
