# SPDX-License-Identifier: Apache-2.0
"""Endpoints and what is sent to them, seen through the API."""
import time

import keystile

from api_service import Api, unique

__all__ = ["Sender", "eventually"]


def eventually(look, wanted):
    """What `look` gives, once `wanted` is true of it."""
    end = time.monotonic() + keystile.PATIENCE_S
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.005)


class Sender:
    def __init__(self, daemon):
        self.daemon = daemon
        self.operator = Api(daemon, daemon.first_key)

    def organization(self):
        return self.operator.make_tenant("organization")["id"]

    def endpoint(self, tenant, url, **members):
        return self.operator.post("/v1/webhook-endpoints", {"tenant": tenant, "url": url, "events": ["*"], **members}).json

    def read(self, endpoint):
        return self.operator.get(f"/v1/webhook-endpoints/{endpoint}").json

    def act(self, endpoint, what, body=None, expect=200):
        return self.operator.call("POST", f"/v1/webhook-endpoints/{endpoint}/{what}", body, expect=expect)

    def key(self, tenant):
        return self.operator.make_key(tenant=tenant)["id"]

    def rename(self, key, name=None):
        """An event key.renamed."""
        self.operator.patch(f"/v1/keys/{key}", {"name": name or unique("name")})

    def deliveries(self, endpoint, query=""):
        return self.operator.get(f"/v1/deliveries?endpoint={endpoint}&limit=500{query}").json["items"]

    def delivery(self, delivery):
        return self.operator.get(f"/v1/deliveries/{delivery}").json

    def only(self, endpoint, wanted):
        """The endpoint's one delivery, once `wanted` is true of it."""
        return eventually(lambda: self.deliveries(endpoint), lambda found: len(found) == 1 and wanted(found[0]))[0]

    def settled(self, endpoint, count, state="delivered"):
        """The deliveries of the endpoint, once so many are in the state."""
        return eventually(lambda: [d for d in self.deliveries(endpoint) if d["state"] == state], lambda found: len(found) >= count)
