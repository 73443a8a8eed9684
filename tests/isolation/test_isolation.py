"""Isolation as a property: whatever the tree and whatever the credential, no answer of any endpoint holds an id, a name
or a mark of what the credential does not see, and "not yours" cannot be told from "not there".

The endpoints are those of the API's description: a new one is asked as soon as it is described, and one that takes a
body fails here until the table below says with what."""
import functools
import json
import random
import re

import pytest
import yaml

from world import World, keystile

DESCRIPTION = keystile.SOURCE / "src" / "api" / "openapi.yaml"
NOWHERE = "0m6xwq3k2r4t8"
WORLDS = 2

# What to send where a body is taken: `id` is what the caller may not see, or what is nowhere.
BODIES = {
    ("POST", "/v1/keys"): lambda id: {"name": "x", "scopes": [], "expires_at": None, ("user" if id.startswith("usr_") else "tenant"): id},
    ("POST", "/v1/tenants"): lambda id: {"kind": "project", "name": "x", "parent": id},
    ("POST", "/v1/users"): lambda id: {"email": "someone@else.test", "organization": id},
    ("PATCH", "/v1/keys/{id}"): lambda id: {"name": "mine"},
    ("PATCH", "/v1/tenants/{id}"): lambda id: {"name": "mine"},
    ("POST", "/v1/keys/{id}/rotate"): lambda id: {"overlap_s": 60},
    ("POST", "/v1/providers"): lambda id: {"tenant": id, "platform": "sip-trunk", "name": "x"},
    ("PATCH", "/v1/providers/{id}"): lambda id: {"name": "mine"},
    ("PUT", "/v1/providers/{id}/fields/{field}"): lambda id: {"value": "x"},
    ("POST", "/v1/providers/{id}/reveal"): lambda id: {"call_id": "x"},
    ("POST", "/v1/providers/{id}/digest"): lambda id: {"call_id": "x", "challenge": 'Digest realm="r", nonce="n"', "method": "INVITE", "uri": "sip:x"},
    ("POST", "/v1/providers/{id}/calls"): lambda id: {"call_id": "x", "outcome": "ok"},
    ("POST", "/v1/webhook-endpoints"): lambda id: {"tenant": id, "url": "https://mine.invalid/", "events": ["*"]},
    ("PATCH", "/v1/webhook-endpoints/{id}"): lambda id: {"description": "mine"},
    ("POST", "/v1/webhook-endpoints/{id}/rotate"): lambda id: {"overlap_s": 60},
    ("POST", "/v1/webhook-endpoints/{id}/replay"): lambda id: {"from": "2026-01-01T00:00:00Z"},
