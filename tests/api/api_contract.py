"""The API's description as a judge: every answer that a test sees is held against src/api/openapi.yaml, and so is
every body that the service has accepted."""
import email.message
import functools
import json
import pathlib
import re

import jsonschema
import yaml

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DESCRIPTION = SOURCE / "src" / "api" / "openapi.yaml"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")


class Contract:
    def __init__(self, path=DESCRIPTION):
        self.document = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.validators = {}
        self.operations = []
        for template, item in self.document["paths"].items():
            pattern = re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part)
                                         for part in re.split(r"(\{[^}]+\})", template)) + r"\Z")
            for method in METHODS:
                if method in item:
                    self.operations.append((template.count("{"), pattern, method.upper(), template, item[method]))
        self.operations.sort(key=lambda o: o[0])
        self.seen = set()

    def resolve(self, node):
        while "$ref" in node:
            path = node["$ref"].removeprefix("#/").split("/")
            node = functools.reduce(lambda at, name: at[name], path, self.document)
        return node

    def operation(self, method, target):
        """The operation that a request belongs to; None where the description has none."""
        path = target.split("?", 1)[0]
        # Below it stands the path that Envoy asks about.
        path = "/v1/authorize" if path.startswith("/v1/authorize/") else path
        method = "GET" if method == "HEAD" else method
        for _, pattern, its_method, template, operation in self.operations:
            if its_method == method and pattern.match(path):
                return template, operation
        return None

    def validate(self, schema, value, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            # References are to the components, which so stand in the schema itself.
            whole = {**schema, "components": self.document["components"]}
            self.validators[key] = jsonschema.Draft202012Validator(whole)
        error = jsonschema.exceptions.best_match(self.validators[key].iter_errors(value))
        assert error is None, f"{what}: /{'/'.join(map(str, error.absolute_path))} is not as described: {error.message}"

    def check_answer(self, method, target, answer):
        """Fails unless the answer is one that the description allows."""
        what = f"{method} {target} -> {answer.status}"
        assert answer.headers["X-Request-Id"], what
        # What anybody may keep: our public keys and where things are.
        public = target.startswith("/.well-known/") and answer.status == 200
        assert answer.headers["Cache-Control"].startswith("public, max-age=" if public else "no-store"), what
        found = self.operation(method, target)
        if found is None:
            # Nothing is described there: nothing may answer there but a problem.
            assert answer.code in ("not_found", "method_not_allowed", "path_ambiguous", "request_malformed"), what
            self.validate({"$ref": "#/components/schemas/Problem"}, answer.json, what)
            return
        template, operation = found
        response = self.resolve(operation["responses"].get(str(answer.status), operation["responses"]["default"]))
        self.seen.add((method, template, answer.status))
        if "content" not in response:
            assert answer.body == b"", what
            for name in response.get("headers", {}):
                assert name in answer.headers or name.startswith("RateLimit"), f"{what}: no {name}"
            return
        self._check_content(method, response, answer, what)

    def _check_content(self, method, response, answer, what):
        content_type = answer.headers.get("Content-Type", "")
        described = {bare_type(t): media for t, media in response["content"].items()}
        assert bare_type(content_type) in described, f"{what}: {content_type} is not described"
        if method == "HEAD":
            assert answer.body == b"", what
        elif "json" in content_type and "ndjson" not in content_type:
            self.validate(described[bare_type(content_type)]["schema"], answer.json, what)
            if "problem" in content_type:
                assert answer.json["status"] == answer.status or "X-Keystile-Status" in answer.headers, what
                assert answer.json["request_id"] == answer.headers["X-Request-Id"], what

    def check_accepted(self, method, target, body):
        """A JSON body that was accepted must be one that the description allows."""
        found = self.operation(method, target)
        if found is None or "requestBody" not in found[1]:
            return
        media = self.resolve(found[1]["requestBody"])["content"].get("application/json")
        if media:
            self.validate(media["schema"], body, f"the body of {method} {target}")


def bare_type(text):
    message = email.message.Message()
    message["Content-Type"] = text
    return message.get_content_type()
