#!/usr/bin/python3
"""Writes what is told of platform files from what the program itself goes by: the tables in docs/platforms.md from the
tables of src/platform, and a page for each file of platforms/ from what `keystile platforms show --file` reads in it.

    platform-pages.py PROGRAM          writes them
    platform-pages.py PROGRAM --check  fails where something is not what would be written"""
import ast
import json
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
TABLES = SOURCE / "src" / "platform"
GUIDE = SOURCE / "docs" / "platforms.md"
PAGES = SOURCE / "docs" / "platforms"
MAPS = {"PLATFORM": "The file", "FIELD": "A field", "PROBE": "`probe:`", "BASIC": "`basic:` of a probe", "AWS": "`aws:` of a probe",
        "JWT": "`jwt:` of a probe", "ANSWER": "One of `answers:`"}
STATES = {"KS_PLATFORM_HEALTHY": "healthy", "KS_PLATFORM_DEGRADED": "degraded", "KS_PLATFORM_FAILING": "failing",
          "KS_PLATFORM_UNKNOWN": "unknown"}
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|\d+|[(),]|\S')


def rows(name, macro):
    """The rows of a .def table: strings joined as C joins them, everything else as it stands."""
    text = re.sub(r"/\*.*?\*/", "", (TABLES / name).read_text(encoding="utf-8"), flags=re.S)
    tokens, found = TOKEN.findall(text), []
    at = 0
    while at < len(tokens):
        if tokens[at] != macro:
            at += 1
            continue
        row, cell, depth = [], None, 0
        at += 1
        while True:
            token = tokens[at]
            at += 1
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0 or (depth == 1 and token == ","):
                row.append(cell)
                cell = None
                if depth == 0:
                    break
            elif token != "(" or depth > 1:
                part = ast.literal_eval(token) if token[0] == '"' else token
                cell = part if cell is None else cell + part
        found.append(row)
    return found


def table(head, lines):
    def cells(line):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
    return "\n".join([cells(head), "|" + "---|" * len(head), *map(cells, lines)])


def members():
    parts = []
    for key, title in MAPS.items():
        lines = [(f"`{name}`", "yes" if needed == "true" else "", form, about)
                 for group, name, needed, form, about in rows("members.def", "KS_PLATFORM_MEMBER") if group == key]
        parts.append(f"### {title}\n\n" + table(("member", "needed", "form", "what it is"), lines))
    return "\n\n".join(parts)


def types():
    lines = [(f"`{text}`", about, "yes" if secret == "true" else "") for _, text, secret, _, _, about in rows("types.def", "KS_PLATFORM_TYPE")]
    return table(("type", "a value is", "secret unless said"), lines)


def formats():
    lines = [(f"`{name}`", f"a value {message}", f"`{pattern}`", f"`{example}`")
             for name, pattern, message, example in rows("formats.def", "KS_PLATFORM_FORMAT")]
    lines += [(f"`{name}`", f"a value {message}", "", "") for name, *_, message in rows("formats.def", "KS_PLATFORM_PEM")]
    return table(("format", "what is said of a wrong value", "pattern", "example"), lines)


def kinds():
    return table(("kind", "what is done"), [(f"`{text}`", about) for _, text, about in rows("probe_kinds.def", "KS_PLATFORM_PROBE_KIND")])


def codes():
    lines = [(f"`{text}`", STATES[state], about) for _, text, state, about in rows("codes.def", "KS_PLATFORM_CODE")]
    return table(("code", "state", "what it means"), lines)


def meanings():
    names = {name: text for name, text, _ in rows("probe_kinds.def", "KS_PLATFORM_PROBE_KIND")}
    texts = {name: text for name, text, _, _ in rows("codes.def", "KS_PLATFORM_CODE")}
    lines = [(f"`{names[kind]}`", low if low == high else f"{low} to {high}", f"`{texts[code]}`")
             for kind, low, high, code in rows("meanings.def", "KS_PLATFORM_MEANING")]
    return table(("kind", "status", "code"), lines)


def index(platforms):
    lines = [(f"[{p['label']}](platforms/{p['name']}.md)", f"`{p['name']}`", p["about"]) for p in platforms]
    return table(("platform", "name", "what a provider is"), lines)


def page(platform):
    """The page of one platform."""
    fields = []
    for f in platform["fields"]:
        form = f["message"] or {"choice": "one of: " + ", ".join(f"`{c['value']}` ({c['label']})" for c in f["choices"] or [])}.get(f["type"], "")
        if f["default"]:
            form += ("; " if form else "") + f"`{f['default']}` where nothing is given"
        if f["example"]:
            form += ("; " if form else "") + f"such as `{f['example']}`"
        fields.append((f["label"], f"`{f['name']}`", f["type"], "yes" if f["secret"] else "", "yes" if f["required"] else "", form, f["help"] or ""))
    parts = [f"# {platform['label']}", f"Made by tools/platform-pages.py from platforms/{platform['name']}.yaml.",
             platform["about"] + (f" <{platform['documentation']}>" if platform["documentation"] else ""),
             "## Fields", table(("field", "name", "type", "secret", "needed", "a value", "where it is found"), fields), "## Health"]
    probe = platform["probe"]
    if probe:
        done = dict((text, about) for _, text, about in rows("probe_kinds.def", "KS_PLATFORM_PROBE_KIND"))[probe["kind"]]
        parts.append(f"`{probe['kind']}`: {done}. Fields in it: " + ", ".join(f"`{name}`" for name in probe["fields"]) + ".")
    else:
        parts.append("Nothing is probed: a new value comes into force at once, and failures show by the calls that the runtime reports.")
    parts.append("## Webhooks")
    if platform["webhook"]:
        parts.append(table(("scheme", "what it verifies"), [(f"`{name}`", form.get("about", "")) for name, form in platform["webhook"].items()]))
    else:
        parts.append("This file says nothing of them.")
    return "\n\n".join(parts) + "\n"


def read(program):
    files = sorted((SOURCE / "platforms").glob("*.yaml"))
    return [json.loads(subprocess.run([program, "platforms", "show", "--file", str(f), "--json"], check=True, capture_output=True).stdout)
            for f in files]


def wanted(program):
    """Every file that this makes, with its text."""
    platforms = read(program)
    parts = {"platforms": index(platforms), "members": members(), "types": types(), "formats": formats(), "kinds": kinds(),
             "codes": codes(), "meanings": meanings()}
    guide = GUIDE.read_text(encoding="utf-8")
    for name, text in parts.items():
        guide, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, t=text: f"{m[1]}\n{t}\n\n{m[2]}", guide, flags=re.S)
        if n != 1:
            sys.exit(f"{GUIDE.name} has {n} places for {name}")
    return {GUIDE: guide, **{PAGES / f"{p['name']}.md": page(p) for p in platforms}}


def main():
    program, check = sys.argv[1], "--check" in sys.argv[2:]
    texts, stale = wanted(program), []
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in set(PAGES.glob("*.md")) - set(texts):
        stale.append(path)
        if not check:
            path.unlink()
    for path in stale:
        print(f"{path.relative_to(SOURCE)}: {'is not up to date: run tools/platform-pages.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
