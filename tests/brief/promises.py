"""One organization and its providers, as the tests of this folder need them."""
import sqlite3

import keystile

from api_service import Api, unique

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text}
  password: {label: Password, type: secret}
"""


def settings(folder, **more):
    """Of a service that knows the platform "pair" and takes its values through the API."""
    (folder / "pair.yaml").write_text(PAIR)
    return {"KEYSTILE_PLATFORMS_OWN": folder, "KEYSTILE_VAULT_DIRECT_WRITE": "true", **more}


class Vault:
    def __init__(self, daemon):
        self.daemon, self.owner = daemon, Api(daemon, local=True)
        self.organization = self.owner.make_tenant("organization")["id"]
        self.runtime = Api(daemon, self.owner.make_key(kind="runtime", scopes=["keystile:secrets:reveal"])["token"])

    def provider(self, tenant=None, **fields):
        made = self.owner.post("/v1/providers", {"tenant": tenant or self.organization, "platform": "pair", "name": unique("pair")}).json["id"]
        for name, value in fields.items():
            self.write(made, name, value)
        return made

    def write(self, provider, field, value, **more):
        """A held value where it is text, else a reference."""
        body = {"value": value} if isinstance(value, str) else {"reference": value}
        return self.owner.put(f"/v1/providers/{provider}/fields/{field}", body, **more)

    def reveal(self, provider, call, expect=200, **more):
        return self.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": call, **more}, expect=expect)

    def password(self, provider, call):
        return self.reveal(provider, call).json["fields"]["password"]

    def stages(self, provider, field="password"):
        return {v["version"]: v["stage"] for v in self.owner.get(f"/v1/providers/{provider}/fields/{field}").json["items"]}


def number_of(identity):
    number = 0
    for c in identity[4:]:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(c)
    return number


def edit(data, *statements):
    """As somebody who can write the store's file, while no service runs."""
    store = sqlite3.connect(data / "keystile.db", timeout=keystile.PATIENCE_S)
    with store:
        for statement, values in statements:
            store.execute(statement, values)
    store.close()


def sealed(data, provider, field="password"):
    """The versions of a field that still have a value in the store."""
    with sqlite3.connect(f"file:{data / 'keystile.db'}?mode=ro", uri=True) as store:
        return [n for n, in store.execute("SELECT version FROM field_versions WHERE provider = ? AND field = ? AND length(sealed) > 0"
                                          " ORDER BY version", (number_of(provider), field))]
