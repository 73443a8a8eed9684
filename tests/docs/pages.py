"""Pages that are run as they stand: every `sh` block, in order, in one shell, against a service of its own; where a `text` block follows,
it is what the commands print, `…` standing for whatever differs each time."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import keystile  # noqa: E402

DOCS = keystile.SOURCE / "docs"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)


def steps(page):
    """(line, commands, what they print or None)."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        line = text[:block.start()].count("\n") + 2
        if block.group(1) == "sh":
            found.append([line, block.group(2), None])
        else:
            assert found and found[-1][2] is None, f"{page.name}:{line}: output of no commands"
            found[-1][2] = block.group(2)
    return found


def pattern(wanted):
    return re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", wanted.strip())) + r"\s*\Z", re.S)


def run(page, daemon, folder, more=None):
    """Runs all of `page` in `folder`, with the program on the path and `more` in the environment."""
    program = folder / "bin"
    program.mkdir()
    (program / "keystile").symlink_to(keystile.PROGRAM)
    env = keystile.environment({"PATH": f"{program}:{os.environ['PATH']}", "KEYSTILE_DATA": daemon.data,
                                "KS": f"http://127.0.0.1:{daemon.port}", "OPERATOR": daemon.first_key, **(more or {})})
    shell = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             cwd=folder, env=env, start_new_session=True)
    found = steps(page)
    script = "".join(f"{commands}\necho '<<{n}>>'\n" for n, (_, commands, _) in enumerate(found))
    try:
        out, _ = shell.communicate(script, timeout=keystile.PATIENCE_S)
    finally:
        # What the page started and, where it stopped half-way, did not end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    parts = re.split(r"<<\d+>>\n", out)
    assert shell.returncode == 0 and len(parts) == len(found) + 1, f"{page.name}: stopped after\n{out[-3000:]}"
    for (line, _, wanted), printed in zip(found, parts):
        if wanted is not None:
            # Tables pad their last column.
            printed = re.sub(r"[ \t]+$", "", printed.strip(), flags=re.M)
            assert pattern(wanted).match(printed), f"{page.name}:{line}: prints\n{printed}\nnot\n{wanted}"
