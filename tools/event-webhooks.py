#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the part `webhooks` of src/api/openapi.yaml: one for each type of event, from src/engine/events.def.

    event-webhooks.py          writes it
    event-webhooks.py --check  fails where something else stands there"""
import json
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
DESCRIPTION = SOURCE / "src" / "api" / "openapi.yaml"
BEGIN, END = "  # webhooks: begin (tools/event-webhooks.py)\n", "  # webhooks: end\n"
TEXT = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'


def text_of(literals):
    """What adjacent string literals of C say."""
    return "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', literals))


def field_schemas():
    """JSON Schema of each type of member."""
    table = (SOURCE / "src/engine/events.h").read_text(encoding="utf-8")
    return {name: json.loads(text_of(schema)) for name, schema in re.findall(r"\bX\((\w+), " + TEXT + r"\)", table)}


def definitions():
    """The text of events.def with its own macros expanded."""
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "src/engine/events.def").read_text(encoding="utf-8"), flags=re.S).replace("\\\n", " ")
    macros = dict(re.findall(r"^#define (KS_EVENT_OF_\w+)\(event\)(.*)$", text, re.M))
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    for name, body in macros.items():
        text = re.sub(rf"\b{name}\((\w+)\)", lambda m, body=body: re.sub(r"\bevent\b", m.group(1), body), text)
    return text


def events():
    """(type, about, {member: schema}) in the order of the table."""
    schemas, found = field_schemas(), {}
    for kind, rest in re.findall(r"\b(KS_EVENT|KS_EVENT_FIELD)\(((?:[^()\"]|\"(?:[^\"\\]|\\.)*\")*)\)", definitions()):
        if kind == "KS_EVENT":
            event, name, about = re.fullmatch(r"\s*(\w+),\s*\"([^\"]*)\",\s*" + TEXT, rest).groups()
            found[event] = (name, text_of(about), {})
        else:
            event, member, kind_of, about = re.fullmatch(r"\s*(\w+),\s*\"([^\"]*)\",\s*(\w+),\s*" + TEXT, rest).groups()
            found[event][2][member] = {**schemas[kind_of], "description": text_of(about)}
    return list(found.values())


def written():
    lines = []
    for name, about, members in events():
        data = {"type": "object", "required": list(members), "properties": members}
        lines.append(f"""  {name}:
    post:
      tags: [events]
      summary: {json.dumps(about, ensure_ascii=False)}
      parameters: [{{$ref: "#/components/parameters/WebhookId"}}, {{$ref: "#/components/parameters/WebhookTimestamp"}}, {{$ref: "#/components/parameters/WebhookSignature"}}]
      requestBody:
        required: true
        content:
          application/json:
            schema:
              allOf: [{{$ref: "#/components/schemas/EventEnvelope"}}]
              properties:
                type: {{const: {name}}}
                data: {json.dumps(data, ensure_ascii=False)}
      responses:
        2XX: {{description: Taken.}}
        "410": {{description: Not wanted any more; the endpoint is disabled.}}
        default: {{description: It is sent again later.}}
""")
    return "".join(lines)


def main():
    text = DESCRIPTION.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail:
        sys.exit(f"{DESCRIPTION}: no place for webhooks")
    whole = head + BEGIN + written() + END + tail
    if whole != text and "--check" in sys.argv[1:]:
        sys.exit(f"{DESCRIPTION} is not what {pathlib.Path(__file__).name} makes of events.def: run it")
    if whole != text:
        DESCRIPTION.write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    main()
