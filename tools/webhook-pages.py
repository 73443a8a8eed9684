#!/usr/bin/python3
"""Writes a page for each platform file that says how webhooks are verified, docs/webhooks/<platform>.md, and the list of
them in docs/webhooks/README.md.

    webhook-pages.py          writes them
    webhook-pages.py --check  fails where something is not what would be written"""
import pathlib
import re
import sys

import yaml

SOURCE = pathlib.Path(__file__).resolve().parent.parent
PAGES = SOURCE / "docs" / "webhooks"
GUIDE = PAGES / "README.md"
WARNINGS = dict(re.findall(r'KS_HOOKSIG_WARNING\(\w+, "(\w+)", "([^"]+)"\)', (SOURCE / "src/hooksig/hooksig.def").read_text(encoding="utf-8")))
UNITS = {"s": "seconds since 1970", "ms": "milliseconds since 1970", "iso8601": "RFC 3339", "rfc1123": "the form of the Date header"}
BEGIN, END = "<!-- platforms: begin -->", "<!-- platforms: end -->"


def table(head, rows):
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", "\\n") for cell in cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def code(value):
    if isinstance(value, list):
        return ", ".join(code(v) for v in value)
    return f"`{value}`" if value not in ("", None, [], {}) else ""


def walk(value, found):
    """All texts of a part of a form."""
    if isinstance(value, dict):
        for inner in value.values():
            walk(inner, found)
    elif isinstance(value, list):
        for inner in value:
            walk(inner, found)
    elif isinstance(value, str):
        found.append(value)
    return found


def looked_at(form):
    texts = walk({k: form.get(k) for k in ("vars", "alternatives", "challenge")}, [])
    found = [t for t in texts if re.match(r"(header|query|param|json|xml):", t) or t == "body"]
    return sorted(set(found))


def operations(form):
    plans = [form] if "verify" in form else form["alternatives"]
    rows = []
    for plan in plans:
        for op in plan["verify"]:
            (name, members), = op.items()
            how = members.get("digest") or members.get("algorithm") or members.get("algorithms") or members.get("versions") or ""
            rows.append((f"`{name}`", code(list(how.values()) if isinstance(how, dict) else how), code(members.get("content", "")),
                         code(members.get("encoding", ""))))
    return rows


def describe(name, form, fields):
    lines = [f"## {name}", "", form["about"] + ".", ""]
    if form.get("warnings"):
        lines += ["What is weak about it, or can be made so by settings:", ""]
        lines += [f"- `{w}`: {WARNINGS[w]}" for w in form["warnings"]] + [""]
    lines += ["Settings (`params`):", "", table(("setting", "type", "default", "of the provider", "what it is"), [
        (f"`{s}`", d["type"] + (" (optional)" if d.get("optional") else ""), code(str(d["default"]) if "default" in d else ""),
         ", ".join(fields[f]["label"] for f in d.get("fields", [])), d.get("about", "")) for s, d in form["settings"].items()]), ""]
    if looked_at(form):
        lines += ["Looked at: " + ", ".join(code(t) for t in looked_at(form)) + ".", ""]
    lines += [table(("checked by", "algorithm", "what is signed", "encoding"), operations(form)), ""]
    if "time" in form:
        lines += [f"Time: `{form['time']['value']}`, in {UNITS.get(form['time']['unit'], 'the form that is set')}, bounded both ways.", ""]
    for challenge in form.get("challenge", []):
        when = ", ".join(f"{k} {v}" for k, v in challenge["when"].items())
        proof = "nothing vouches for it: answer it only while you subscribe" if challenge.get("unauthenticated") else "verified first"
        lines += [f"Challenge ({when}): answered as the platform expects; {proof}.", ""]
    if "replay" in form:
        key = form["replay"].get("key")
        lines += [f"A second one of the same is known by {f'`{key}`' if key else 'a claim of the token'}; remember it for {form['replay']['keep']} s.", ""]
    return "\n".join(lines)


def page(name, platform):
    head = [f"# {platform['label']}", "", f"Made from platforms/{name}.yaml by tools/webhook-pages.py.", ""]
    if "documentation" in platform:
        head += [f"Of the platform itself: <{platform['documentation']}>", ""]
    parts = [describe(scheme, form, platform["fields"]) for scheme, form in platform["webhook"].items()]
    return "\n".join(head) + "\n" + "\n".join(parts).rstrip() + "\n"


def main():
    platforms = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((SOURCE / "platforms").glob("*.yaml"))}
    platforms = {name: platform for name, platform in platforms.items() if "webhook" in platform}
    wanted = {PAGES / f"{name}.md": page(name, platform) for name, platform in platforms.items()}
    rows = [(f"[{p['label']}]({name}.md)", ", ".join(f"`{s}`" for s in p["webhook"])) for name, p in sorted(platforms.items())]
    guide = GUIDE.read_text(encoding="utf-8")
    before, rest = guide.split(BEGIN)
    wanted[GUIDE] = before + BEGIN + "\n" + table(("platform", "schemes"), rows) + "\n" + END + rest.split(END)[1]
    wrong = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if sys.argv[1:] == ["--check"]:
        print("\n".join(f"{path.relative_to(SOURCE)} is not what tools/webhook-pages.py writes" for path in wrong) or "webhook pages are up to date")
        return 1 if wrong else 0
    for path in wrong:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
