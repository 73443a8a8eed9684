"""The description is of this program: what it says is there, and what is there it says."""
import re

import yaml

import keystile

from api_service import CONTRACT

SOURCE = keystile.SOURCE / "src"


def test_every_route_is_described():
    routes = set(re.findall(r'^KS_ROUTE\("([A-Z]+)", "([^"]+)"', (SOURCE / "api" / "routes.def").read_text(), re.M))
    described = {(method, template) for _, _, method, template, _ in CONTRACT.operations if template != "/v1/authorize"}
    assert routes == described


def test_every_code_is_described():
    codes = set(re.findall(r'^KS_PROBLEM\(\w+, "(\w+)"', (SOURCE / "api" / "problem.def").read_text(), re.M))
    codes |= set(re.findall(r'^KS_SECRETSTORE_CODE\(\w+, "(\w+)"', (SOURCE / "secretstore" / "codes.def").read_text(), re.M))
    reasons = set(re.findall(r'X\(\w+, "(\w+)", \d+,', (SOURCE / "model" / "model.h").read_text()))
    schemas = CONTRACT.document["components"]["schemas"]
    assert set(schemas["DecisionCode"]["enum"]) == reasons
    assert set(schemas["ProblemCode"]["enum"]) == codes | (reasons - {"ok"})


def test_no_member_stands_twice():
    """A reader of YAML takes the last of two silently."""
    def walk(node):
        if isinstance(node, yaml.MappingNode):
            names = [name.value for name, _ in node.value]
            assert len(names) == len(set(names)), f"line {node.start_mark.line + 1}: {names}"
        for child in node.value if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) else ():
            for part in child if isinstance(child, tuple) else (child,):
                walk(part)
    for name in ("openapi.yaml", "self.yaml"):
        walk(yaml.compose((SOURCE / "api" / name).read_text()))


def test_operations_have_names_of_their_own():
    assert len({operation["operationId"] for _, _, _, _, operation in CONTRACT.operations}) == len(CONTRACT.operations)


def test_examples_are_as_described():
    def walk(node):
        if isinstance(node, dict):
            if "schema" in node and "example" in node and "in" not in node:
                CONTRACT.validate(node["schema"], node["example"], "an example")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(CONTRACT.document["paths"])
    walk(CONTRACT.document["components"]["responses"])


def test_every_operation_was_seen_to_succeed():
    """Last of all; conftest.py leaves it out where not the whole suite is run."""
    succeeded = {(method, template) for method, template, status in CONTRACT.seen if status < 400}
    assert {(method, template) for _, _, method, template, _ in CONTRACT.operations} - succeeded == set()
