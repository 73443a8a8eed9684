"""Random policies: the part of worlds.py that makes scopes, roles and families."""

BUILT_IN_ROLES = ["administrator", "member", "account_reader"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
ENTRY_SETS = [
    ["*"], ["GET", "HEAD", "*"], ["GET", "*"], ["GET"], ["GET", "HEAD"], ["POST"], ["HEAD", "POST"],
    ["POST", "PUT", "PATCH", "DELETE"], ["DELETE"], ["DELETE", "*"], ["PUT", "PATCH"], ["POST", "*"],
    ["GET", "PROPFIND"], ["M-SEARCH", "*"], ["get", "GET"],
]
LITERALS = ["api", "v1", "v2", "contacts", "calls", "a", "b", "c", "x", "me", "users", "export",
            "v1.2", "a-b", "~home", "Contacts", "keys_list"]
BAD_METHODS = ["get", "Get", "HEAD", "GET ", " GET", "", "G\x00T", "GE\xc9", "TRACE", "*", "M-SEARCH", "PROPFIND",
               "X" * 32, "X" * 33, "A(B", "!#$%&'*+-.^_`|~", "G/T", "G\tT"]


class PolicyMaker:
    def make_policy(self):
        names = ["contacts", "calls", "billing", "voice_sessions", "users", "routes", "reports", "keys"]
        self.scope_names = []
        for name in self.some(names, 2, 6):
            for verb in self.some(["read", "write", "delete", "partner:allocate"], 1, 3):
                self.scope_names.append(name + ":" + verb)

        shapes = self.make_routes()
        families = []
        for number in range(self.pick([2, 4, 6, 8, 10, 12, 16])):
            methods = self.pick(ENTRY_SETS)
            entries = {}
            for method in methods:
                needed = self.some(self.scope_names, 1, 1 if self.chance(0.7) else 3)
                entries[method] = needed
            family = {"name": self.pick(["contacts", "calls", "admin", "f", "media_x"]) + str(number),
                      "entries": entries, "routes": [],
                      "kinds": self.pick([["session", "tenant", "partner"], ["session", "tenant", "partner", "runtime"],
                                          ["session", "tenant"], ["tenant", "session"],
                                          ["tenant"], ["tenant", "partner"], ["partner", "tenant"], ["runtime"],
                                          ["session"], ["partner"], ["runtime", "tenant"],
                                          ["tenant", "partner", "runtime"]]),
                      "tenant_header": self.pick([None, None, None, "optional", "required_for_partner",
                                                  "required_for_partner", "required", "refused"]),
                      "environments": self.pick([None, None, None, None, ["live", "sandbox"], ["sandbox", "live"],
                                                 ["live"], ["sandbox"]]),
                      "inherited": self.pick([None, None, True, True, False])}
            families.append(family)

        # Hand the routes out. Two families may share a route, never an entry of it.
        claimed = set()
        for shape in shapes:
            for family in self.some(families, 1, 3):
                claims = [(shape, method) for method in family["entries"]]
                if any(claim in claimed for claim in claims):
                    continue
                claimed.update(claims)
                family["routes"].append(self.name_parameters(shape))
        self.families = [family for family in families if family["routes"]]
        self.make_scopes()
        self.make_roles()
        self.policy_text = self.write_policy()

    def make_routes(self):
        """Distinct route shapes, close enough to each other to overlap. A shape is a tuple of
        literals, "{}" and "**"."""
        literals = self.some(LITERALS, 2, 7)
        if self.chance(0.05):
            literals.append("caf\u00e9")
        shapes = []

        def add(shape):
            if shape and shape not in shapes and shape[:-1].count("**") == 0:
                shapes.append(shape)

        start = tuple(self.pick([[], [], ["api"], ["api", "v1"]]))
        for _ in range(self.pick([3, 5, 8, 12])):
            shape = start
            for _ in range(1 + self.below(4)):
                shape += (self.pick(literals) if self.chance(0.7) else "{}",)
            if self.chance(0.35):
                shape += ("**",)
            add(shape)
        for _ in range(self.pick([2, 6, 12, 20])):
            shape = list(self.pick(shapes))
            what = self.below(5)
            place = self.below(len(shape))
            if what == 0 and shape[place] != "**":
                shape[place] = "{}"
            elif what == 1 and shape[place] != "**":
                shape[place] = self.pick(literals)
            elif what == 2:
                shape = shape[:place] + ["**"]
            elif what == 3 and shape[-1] != "**":
                shape.append(self.pick([self.pick(literals), "{}", "**"]))
            elif what == 4:
                shape = shape[:place]
            add(tuple(shape))
        if self.chance(0.08):
            add(("**",))
        if self.chance(0.06):
            add(("",))
        if self.chance(0.06):
            shape = self.pick(shapes)
            if shape[-1] not in ("**", ""):
                add(shape + ("",))
        return shapes

    def name_parameters(self, shape):
        """The route's text. Parameter names differ from family to family: they mean nothing."""
        route = ""
        for place, part in enumerate(shape):
            if part == "{}":
                part = "{" + self.pick(["id", "name", "x", "contact_id"]) + (str(place) if place else "") + "}"
            route += "/" + part
        return route

    def make_scopes(self):
        """What the policy says of each scope. A family must be able to pass: kinds are only taken from a scope
        that some kind of every family that asks for it has."""
        self.scopes = {}
        kinds = ["session", "tenant", "partner", "runtime"]
        for name in self.scope_names:
            scope = {"default": self.chance(0.3), "opt_in": False, "kinds": kinds}
            if not scope["default"]:
                scope["opt_in"] = self.chance(0.3)
            self.scopes[name] = scope
        for name in self.scope_names:
            if not self.chance(0.2):
                continue
            before = self.scopes[name]["kinds"]
            self.scopes[name]["kinds"] = self.some(kinds, 1, 3)
            for family in self.families:
                for needed in family["entries"].values():
                    if not any(all(kind in self.scopes[each]["kinds"] for each in needed) for kind in family["kinds"]):
                        self.scopes[name]["kinds"] = before

    def make_roles(self):
        names = self.some(["watcher", "clerk", "call_operator"], 0, 3)
        if self.chance(0.3):
            names += self.some(BUILT_IN_ROLES, 1, 2)
        self.roles = {name: self.some(self.scope_names, 1, len(self.scope_names)) for name in names}

    def role_gives(self, role):
        """Near enough to make requests that should pass; the model says what is right."""
        if role in self.roles:
            given = self.roles[role]
        elif role == "administrator":
            given = [name for name, scope in self.scopes.items() if not scope["opt_in"]]
        elif role == "member":
            given = [name for name, scope in self.scopes.items() if scope["default"]]
        elif role == "account_reader":
            given = [name for name in self.scopes if name.endswith(":read")]
        else:
            given = []
        return [name for name in given if "session" in self.scopes[name]["kinds"]]

    def write_policy(self):
        lines = []
        if self.chance(0.3):
            lines.append("# made at random")
        lines.append("version: 1")
        lines.append("scopes:")
        for scope in self.scope_names:
            more = ", default: true" if self.scopes[scope]["default"] else ""
            if self.scopes[scope]["opt_in"]:
                more += ", opt_in: true"
            if len(self.scopes[scope]["kinds"]) < 4:
                more += ", kinds: [" + ", ".join(self.scopes[scope]["kinds"]) + "]"
            name = '"' + scope + '"' if self.chance(0.2) else scope
            lines.append("  " + name + ": {about: May " + scope.replace(":", " ") + more + "}")
        if self.roles:
            lines.append("roles:")
            for role, given in self.roles.items():
                lines.append("  " + role + ": {about: Is " + role + ", scopes: [" + ", ".join(given) + "]}")
        lines.append("families:")

        def quoted(text):
            mark = self.pick("\"'")
            return mark + text + mark

        for family in self.families:
            lines.append("  " + family["name"] + ":")
            routes = [quoted(route) for route in family["routes"]]
            if self.chance(0.7):
                lines.append("    routes: [" + ", ".join(routes) + "]")
            else:
                lines.append("    routes:")
                lines.extend("      - " + route for route in routes)
            lines.append("    kinds: [" + ", ".join(family["kinds"]) + "]")
            entries = []
            for method, needed in family["entries"].items():
                name = quoted(method) if method == "*" or self.chance(0.1) else method
                if len(needed) == 1 and self.chance(0.8):
                    entries.append((name, needed[0]))
                else:
                    entries.append((name, "[" + ", ".join(needed) + "]"))
            if self.chance(0.7):
                lines.append("    scopes: {" + ", ".join(a + ": " + b for a, b in entries) + "}")
            else:
                lines.append("    scopes:")
                lines.extend("      " + a + ": " + b for a, b in entries)
            if family["tenant_header"]:
                lines.append("    tenant_header: " + family["tenant_header"])
            if family["environments"]:
                lines.append("    environments: [" + ", ".join(family["environments"]) + "]")
            if family["inherited"] is not None:
                lines.append("    inherited: " + ("true" if family["inherited"] else "false"))
        return "\n".join(lines) + "\n"
