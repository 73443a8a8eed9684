"""An audit export read as a stranger would, from docs/audit.md alone: leaves, trees, proofs and notes, none of it with
the service's own code."""
import base64
import csv
import hashlib
import io
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

COLUMNS = ["index", "leaf", "id", "at", "actor", "salt", "commitment", "place", "on_behalf", "action", "object", "tenant",
           "organization", "outcome", "address", "request_id", "detail"]


class Broken(Exception):
    pass


def sha256(data):
    return hashlib.sha256(data).digest()


def join(left, right):
    return sha256(b"\x01" + left + right)


def leaf(entry):
    """The leaf of an entry whose members are texts, "" for null."""
    if entry["salt"]:
        commitment = sha256(b"keystile-audit-actor-v1\0" + base64.b64decode(entry["salt"]) + entry["actor"].encode())
    else:
        if entry["actor"] != entry["place"]:
            raise Broken("an actor without a proof")
        commitment = base64.b64decode(entry["commitment"])
    fields = [b"keystile-audit-v1", entry["id"].encode(), entry["at"].encode(), commitment]
    for name in COLUMNS[7:]:
        value = entry[name][4:] if name in ("tenant", "organization") else entry[name]
        fields.append(value.encode())
    return sha256(b"\0" + b"".join(len(f).to_bytes(4, "big") + f for f in fields))


class Tree:
    """Whole nodes, the largest first."""

    def __init__(self):
        self.size = 0
        self.nodes = []

    def add(self, node, height=0):
        if self.size % (1 << height):
            raise Broken("a node that does not fit")
        at = self.size >> height
        while at & 1:
            node = join(self.nodes.pop(), node)
            at >>= 1
        self.nodes.append(node)
        self.size += 1 << height

    def root(self):
        if not self.nodes:
            return sha256(b"")
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = join(node, root)
        return root


def first_node(at, to):
    height = (to - at).bit_length() - 1
    while at % (1 << height):
        height -= 1
    return height


def read_jsonl(data):
    """(kind, record) of each line; the detail of an entry is its characters."""
    for line in data.decode().splitlines():
        record = json.loads(line)
        if "index" in record:
            record["detail"] = json.dumps(record["detail"], separators=(",", ":"), ensure_ascii=False)
            yield "entry", {k: "" if v is None else str(v) for k, v in record.items()}
        else:
            (kind, value), = record.items()
            yield kind, value


def read_csv(data):
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    if rows[0] != ["record", *COLUMNS]:
        raise Broken("another heading")
    for row in rows[1:]:
        if len(row) != len(COLUMNS) + 1:
            raise Broken("a record of another length")
        kind, values = row[0], row[1:]
        if kind == "entry":
            yield kind, dict(zip(COLUMNS, values))
        elif kind == "log":
            yield kind, {"version": 1, "size": int(values[0]), "origin": values[1]}
        elif kind == "gap":
            yield kind, {"to": int(values[0]), "nodes": values[1]}
        else:
            yield kind, values[1]


def read(data):
    return list(read_csv(data) if data.startswith(b"record,") else read_jsonl(data))


def open_note(note, key):
    """The text of a note, signed by the key "<name>+<id>+<base64>"."""
    name, key_id, public = key.split("+", 2)
    public = base64.b64decode(public)
    if public[0] != 1 or sha256(name.encode() + b"\n" + public)[:4].hex() != key_id:
        raise Broken("no key")
    text, signatures = note.rsplit("\n\n", 1)
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if dash == "—" and signer == name and signature[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], (text + "\n").encode())
            except InvalidSignature as error:
                raise Broken("a wrong signature") from error
            return text + "\n"
    raise Broken("not signed")


def checkpoint(text):
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), base64.b64decode(root)


def verify(data, key, kept=None):
    """Everything about an export; its entries."""
    tree, entries, ended = Tree(), [], False
    kept_size, kept_root = checkpoint(open_note(kept, key))[1:] if kept else (None, None)
    records = read(data)
    if records[0][0] != "log" or records[0][1]["version"] != 1:
        raise Broken("no head")

    def compare():
        nonlocal kept_size
        if tree.size == kept_size:
            if tree.root() != kept_root:
                raise Broken("not the checkpoint's entries")
            kept_size = None

    compare()
    for kind, record in records[1:]:
        if ended:
            raise Broken("something behind the end")
        if kind == "entry":
            if int(record["index"]) != tree.size:
                raise Broken("out of order")
            mine = leaf(record)
            if base64.b64decode(record["leaf"]) != mine:
                raise Broken("altered")
            tree.add(mine)
            entries.append(record)
        elif kind == "gap":
            for node in record["nodes"].split(" "):
                tree.add(base64.b64decode(node), first_node(tree.size, record["to"]))
            if tree.size != record["to"]:
                raise Broken("a gap of another size")
        else:
            origin, size, root = checkpoint(open_note(record, key))
            if (origin, size, root) != (records[0][1]["origin"], tree.size, tree.root()) or size != records[0][1]["size"]:
                raise Broken("not its own checkpoint")
            ended = True
        compare()
    if not ended or kept_size is not None:
        raise Broken("cut off")
    return entries


def check_inclusion(entry_leaf, index, size, proof, root):
    """RFC 9162, 2.1.3.2."""
    node, last, value = index, size - 1, entry_leaf
    if index >= size:
        return False
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = join(sibling, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = join(value, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and value == root
