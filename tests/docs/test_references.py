"""What the pages name is there: links and their headings, files, tests, routes, settings and commands."""
import functools
import pathlib
import re
import subprocess

import pytest

import test_guides

SOURCE = test_guides.keystile.SOURCE
LISTED = subprocess.run(["git", "-C", str(SOURCE), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True,
                        check=False).stdout.split("\n")
FILES = sorted(name for name in LISTED if name and (SOURCE / name).is_file())
PAGES = [name for name in FILES if name.endswith(".md")]
NAMES = {pathlib.PurePath(name).name for name in FILES}


def text_of(name):
    return (SOURCE / name).read_text(encoding="utf-8")


@functools.cache
def headings(name):
    """As they are linked to."""
    found = re.findall(r"^#+ (.*)$", text_of(name), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_there_are_pages():
    assert len(PAGES) > 50 and "README.md" in PAGES and "src/engine/README.md" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (SOURCE / page).parent / path if path else SOURCE / page
        if not target.exists():
            wrong.append(link)
        elif heading and heading not in headings(target.resolve().relative_to(SOURCE).as_posix()):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page):
    wrong = set()
    for name in re.findall(r"\b(?:bench|docs|examples|policies|src|tests|tools)/[\w./-]*\w\.\w+\b", text_of(page)):
        if not (SOURCE / name).exists() and not (SOURCE / page).parent.joinpath(name).exists():
            wrong.add(name)
    for name in re.findall(r"\b(?:test|fuzz)_\w+\.(?:c|py)\b", text_of(page)):
        if name not in NAMES:
            wrong.add(name)
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_routes_that_are_named_are_there(page):
    routes = {re.sub(r"\{[^}]*\}", "{}", route) for route in re.findall(r'^KS_ROUTE\("[A-Z]+", "([^"]+)"', text_of("src/api/routes.def"), re.M)}
    wrong = set()
    for name in re.findall(r"(?<![\w.])/v1/[\w{}/…-]*[\w}…]", text_of(page)):
        plain = re.sub(r"\{[^}]*\}|(?:[a-z]+_)?…|\b[a-z]{3}_\w+", "{}", name)
        segments = [re.escape(s) if s != "{}" else r"[^/]+" for s in plain.split("/")]
        if plain.startswith("/v1/authorize"):
            continue
        pattern = re.compile("/".join(segments) + r"(/.*)?\Z")
        generic = [re.compile("/".join(re.escape(s) if s != "{}" else r"[^/]+" for s in route.split("/")) + r"\Z") for route in routes]
        if not any(pattern.match(route) for route in routes) and not any(route.match(plain) for route in generic):
            wrong.add(name)
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") or page == "README.md"])
def test_commands_that_are_named_are_there(page):
    commands = re.findall(r'^\t\{(?:NULL|"([\w-]+)"), "([\w-]+)", "', text_of("src/cli/commands.c"), re.M)
    known = {(group, verb) if group else (verb,) for group, verb in commands} | {(group,) for group, _ in commands if group}
    wrong = set()
    for line in re.findall(r"^(?:\$ )?(?:build/)?keystile ([a-z].*)$|`keystile ([a-z][^`\n]*)`", text_of(page), re.M):
        words = re.findall(r"^[a-z][a-z-]*(?: [a-z][a-z-]*)?", line[0] or line[1])[0].split()
        if tuple(words) not in known and tuple(words[:1]) not in known:
            wrong.add(" ".join(words))
        elif tuple(words[:1]) in known and len(words) == 2 and (words[0],) in {(g,) for g, _ in commands} and tuple(words) not in known:
            wrong.add(" ".join(words))
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_settings_that_are_named_are_there(page):
    settings = set(re.findall(r'^KS_SETTING\(\w+, "([^"]+)"', text_of("src/config/settings.def"), re.M))
    events = set(re.findall(r'"([a-z_]+\.[a-z_]+)"', "".join(text_of(f) for f in FILES if f.startswith("src/engine/"))))
    groups = {name.split(".")[0] for name in settings if "." in name}
    wrong = {name for name in re.findall(r"`([a-z]+\.[a-z0-9_]+)(?::[^`]*)?`", text_of(page))
             if name.split(".")[0] in groups and name not in settings | events and name not in NAMES}
    assert not wrong
