"""Sessions, issuers and JWTs: the part of worlds.py that makes them, and requests with them."""

from worlds_policy import BAD_METHODS, BUILT_IN_ROLES

JWTS = ["eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "eyJ.a.b", "eyJ_-.a-_.b", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"]


class SessionMaker:
    def make_sessions(self):
        """Sessions, and for the making of requests what stands behind them and behind issuers in the form of keys."""
        self.sessions = []
        self.issuers = []
        self.session_holders = []
        self.issuer_holders = []
        for user in self.users:
            for _ in range(self.pick([0, 1, 1, 2])):
                self.add_session(user)
        for organization in self.organizations:
            if self.chance(0.3):
                issuer = {"id": self.new_id("issuer"), "tenant": organization["id"], "removed": self.chance(0.1)}
                self.issuers.append(issuer)
                self.issuer_holders.append(self.as_key(issuer["id"], organization["id"], "organization", None,
                                                       self.role_gives("administrator"), issuer["removed"], None))

    def add_session(self, user):
        token = "kss_" + "%032x" % self.rng.getrandbits(128)
        expires = None
        if self.chance(0.5):
            expires = self.clock + self.pick([1, 1000, 86_400_000]) * (1 + self.below(900))
        if self.chance(0.1):
            expires = self.clock - self.pick([0, 1, 86_400_000])
        session = {"id": self.new_id("session"), "token": token, "user": user["id"], "expires_ms": expires,
                   "ended": self.chance(0.08)}
        self.sessions.append(session)
        scopes = set()
        for membership in user["memberships"]:
            scopes.update(self.role_gives(membership["role"]))
        key = self.as_key(session["id"], user["personal"], "user", user["id"], sorted(scopes), session["ended"], expires)
        key["token"] = token
        self.session_holders.append(key)

    def as_key(self, number, tenant, binding, user, scopes, revoked, expires):
        return {"id": number, "token": None, "kind": "session", "binding": binding, "tenant": tenant, "user": user,
                "scopes": scopes, "environment": "live", "addresses": [], "rate_limit": None, "expires_ms": expires,
                "rotated_out": False, "revoked": revoked}

    # -- requests

    def spoil_something(self, key, request):
        roll = self.below(10)
        if roll == 0:
            self.spoil_path(request)
        elif roll == 1:
            request["method"] = self.pick(BAD_METHODS)
        elif roll in (2, 3, 4):
            self.spoil_tenant(key, request)

    def session_request(self):
        key = self.pick(self.sound_sessions if self.chance(0.85) else self.session_holders)
        request = self.sound_request(key)
        if key["expires_ms"] is not None and self.chance(0.15):
            request["now_ms"] = key["expires_ms"] + self.pick([-1, 0, 1])
        # As a cookie, where this world has a carrier for it; else, and sometimes, as a Bearer token.
        if self.session_headers and self.chance(0.95):
            request["headers"] = [[self.pick(self.session_headers), key["token"]]]
        elif self.chance(0.8):
            request["headers"] = [["Authorization", "Bearer " + self.pick(JWTS)]]
            request["assertion"] = self.assertion_for("session", key)
        elif self.chance(0.5):
            self.spoil_credential(key, request)
        if self.chance(0.5):
            self.spoil_something(key, request)
        return request

    def assertion_for(self, origin, key):
        return {"result": "ok", "for": origin, "token": None if origin == "issuer" else key["token"],
                "issuer": key["id"] if origin == "issuer" else None, "expires_ms": None, "scopes": None, "tenant": None,
                "family": None, "roles": []}

    def jwt_request(self):
        origins = [("key", self.sound_keys if self.chance(0.9) else self.keys)]
        if self.session_holders:
            origins.append(("session", self.sound_sessions if self.chance(0.85) else self.session_holders))
        if self.issuer_holders:
            origins += [("issuer", self.sound_issuers if self.chance(0.85) else self.issuer_holders)] * 2
        origin, holders = self.pick(origins)
        key = self.pick(holders)
        request = self.sound_request(key)
        family, method = self.last_plan
        jwt = self.assertion_for(origin, key)
        if origin == "issuer" or self.chance(0.05):
            jwt["roles"] = self.some(BUILT_IN_ROLES + list(self.roles) + ["gone"], 1, 3)
            if self.chance(0.4):
                jwt["roles"] = ["administrator"]
        if self.chance(0.5):
            self.narrow(jwt, key, family, method)
        if self.chance(0.3):
            jwt["expires_ms"] = request["now_ms"] + self.pick([-1, 0, 1, 1000, 1000, 1000, 1000])
        if key["expires_ms"] is not None and key["rate_limit"] is None and self.chance(0.1):
            request["now_ms"] = key["expires_ms"] + self.pick([-1, 0, 1])
        text = self.pick(JWTS)
        header = ["Authorization", self.pick(["Bearer ", "Bearer ", "bearer  "]) + text]
        if self.chance(0.1):
            header = [self.pick(["X-API-Key"] + [name for name, _ in self.headers]), text]
        request["headers"] = [header]
        request["assertion"] = jwt
        if self.chance(0.12):
            self.spoil_jwt(request, jwt)
        if self.chance(0.4):
            self.spoil_something(key, request)
        return request

    def narrow(self, jwt, key, family, method):
        what = self.below(8)
        if what in (0, 1, 7):
            needed = family["entries"].get(method) or family["entries"].get("*") or []
            jwt["scopes"] = needed + self.some(self.scope_names, 0, 3)
            if self.chance(0.2):
                jwt["scopes"] = self.some(self.scope_names + ["nobodys:scope"], 0, 4)
        if what in (2, 3, 4, 7):
            jwt["tenant"] = self.pick(self.key_sees[key["id"]])
            if self.chance(0.25):
                jwt["tenant"] = self.pick([self.pick(self.tenants)["id"], self.new_id("organization"),
                                           self.pick(self.users)["personal"], key["tenant"]])
        if what in (5, 6, 7):
            jwt["family"] = family["name"]
            if self.chance(0.2):
                jwt["family"] = self.pick([self.pick(self.families)["name"], "f", family["name"] + "x"])

    def spoil_jwt(self, request, jwt):
        what = self.below(6)
        if what == 0:
            jwt["result"] = self.pick(["none", "invalid"])
        elif what == 1:
            request["assertion"] = None
        elif what == 2:
            # What it stands for is something else.
            wrong = self.pick(["key", "session"])
            if wrong != jwt["for"] and jwt["token"]:
                jwt["for"] = wrong
            elif jwt["issuer"]:
                jwt["issuer"] = self.new_id("issuer")
        elif what == 3 and jwt["token"]:
            jwt["token"] = self.make_own_token()
        elif what == 4:
            key = self.pick(self.sound_keys)
            if key["token"]:
                # Another credential: what was found of a JWT says nothing of it.
                request["headers"] = [["Authorization", "Bearer " + key["token"]]]
        else:
            request["headers"] = self.basic("x:" + self.pick(JWTS))
