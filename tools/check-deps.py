#!/usr/bin/python3
"""Holds the include rules: a lower layer never includes an upper one, and a library's header is included in the one place that may
use it. Also that files stay small, and that nothing is kept which tools leave."""
import pathlib
import re
import subprocess
import sys

LAYERS = {
    "base": set(),
    "crypto": {"base"},
    "fetch": {"base"},
    "probe": {"base", "crypto", "fetch", "platform"},
    "model": {"base"},
    "merkle": {"base", "crypto"},
    "token": {"base", "model"},
    "jose": {"base", "crypto", "model"},
    "secretstore": {"base", "crypto", "fetch", "model", "jose"},
    "hooksig": {"base", "crypto", "jose"},
    "urlpath": {"base"},
    "multipart": {"base"},
    "yaml": {"base"},
    "policy": {"base", "model", "urlpath", "yaml"},
    "platform": {"base", "yaml", "hooksig"},
    "ring": {"base", "crypto", "model", "policy", "urlpath"},
    "decision": {"base", "crypto", "model", "token", "jose", "urlpath", "policy", "ring"},
    "analysis": {"base", "crypto", "model", "urlpath", "policy", "ring", "decision"},
    "ringmap": {"base", "crypto", "model", "ring"},
    "store": {"base", "crypto", "model", "merkle"},
    "keeper": {"base", "crypto"},
    "login": {"base", "crypto"},
    "assertion": {"base", "crypto", "model", "token", "jose", "policy", "ring", "decision"},
    "engine": {"base", "hooksig", "crypto", "model", "token", "jose", "urlpath", "policy", "platform", "ring", "decision", "assertion", "ringmap", "store", "login", "merkle", "keeper"},
    "federation": {"base", "crypto", "model", "jose", "fetch", "ring", "decision", "ringmap", "store", "engine", "policy", "token", "urlpath"},
    "health": {"base", "crypto", "fetch", "model", "platform", "probe", "ring", "ringmap", "decision", "policy", "store", "engine"},
    "inbound": {"base", "crypto", "fetch", "hooksig", "keeper", "model", "platform", "ring", "ringmap", "decision", "policy", "store", "engine", "token", "urlpath", "jose", "assertion"},
    "delivery": {"base", "crypto", "fetch", "model", "ring", "ringmap", "decision", "policy", "store", "engine"},
    "http": {"base", "crypto"},
    "api": {"base", "inbound", "hooksig", "crypto", "multipart", "fetch", "model", "token", "jose", "urlpath", "policy", "platform", "ring", "decision", "assertion", "analysis", "ringmap", "store", "login", "engine", "http", "federation", "health", "delivery", "merkle", "keeper"},
    "config": {"base"},
    "lib": {"base", "crypto", "model", "token", "jose", "urlpath", "assertion", "policy", "ring", "decision", "ringmap", "keystile"},
    "daemon": {"base", "inbound", "crypto", "fetch", "secretstore", "model", "platform", "token", "jose", "urlpath", "engine", "api", "http", "config", "ring", "ringmap", "store", "decision", "federation", "health", "delivery", "keeper"},
    "cli": {"base", "inbound", "crypto", "hooksig", "model", "token", "jose", "policy", "platform", "urlpath", "engine", "api", "http", "config", "daemon", "keystile", "federation", "health", "fetch", "merkle"},
}
PURE = {"base", "multipart", "model", "token", "jose", "hooksig", "urlpath", "yaml", "policy", "platform", "ring", "decision", "analysis", "login", "assertion"}
# Headers that give descriptors, clocks, threads or the environment: not in the pure core.
IMPURE = re.compile(r"^(fcntl|pthread|sys/(socket|stat|file|epoll|wait)|time|sys/time|signal|netinet/.*|dirent)\.h$")
# Library header -> where it may be included.
LIBRARIES = {
    "sqlite3.h": {"src/store/sql_sqlite"},
    "microhttpd.h": {"src/http/"},
    "gnutls/gnutls.h": {"src/http/"},
    "openssl/": {"src/crypto/"},
    "sodium.h": {"src/crypto/"},
    "yaml.h": {"src/yaml/", "src/config/"},
    "seccomp.h": {"src/keeper/sandbox"},
    "p11-kit/": {"src/keeper/root_pkcs11"},
    "curl/curl.h": {"src/cli/", "src/fetch/", "src/keeper/remote"},
    "osipparser2/": {"src/probe/sip_message"},
}
BANNED = re.compile(r"(?<![A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|atoi|strtok|gets|alloca|scanf|sscanf)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def check(path, root):
    rel = path.relative_to(root).as_posix()
    module = rel.split("/")[1]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{rel}:{number}"
        if BANNED.search(line):
            yield f"{where}: {BANNED.search(line).group(1)} is banned"
        if module not in {"base"} and re.search(r"(?<![A-Za-z0-9_])memcmp\s*\(", line):
            yield f"{where}: memcmp outside base: use ks_ct_equal or ks_str_eq"
        found = INCLUDE.match(line)
        if not found:
            continue
        name = found.group(2)
        if found.group(1) == '"':
            target = name.split("/")[0]
            if target != module and target in LAYERS and target not in LAYERS[module]:
                yield f"{where}: {module} must not include {target}"
            if target != module and name.endswith("_priv.h"):
                yield f"{where}: {name} is private to {target}"
        elif module in PURE and IMPURE.match(name) and not (module, name) in {("base", "time.h")}:
            yield f"{where}: the pure core must not include <{name}>"
        for library, places in LIBRARIES.items():
            if name.startswith(library) and not any(rel.startswith(p) for p in places):
                yield f"{where}: <{name}> belongs in {', '.join(sorted(places))}"


def kept_by_mistake(root):
    """What package managers and compilers leave is not ours to keep."""
    if not (root / ".git").exists():
        return
    listed = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=True).stdout
    folders = {re.match(r"(.*/)?(node_modules|__pycache__|build[^/]*)/", path) for path in listed.splitlines()} - {None}
    yield from sorted({f"{found.group(0)}: not to be kept in the repository" for found in folders})


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    problems = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        if path.relative_to(root).parts[1] not in LAYERS:
            problems.append(f"{path}: this module has no layer in tools/check-deps.py")
            continue
        problems += check(path, root)
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 900:
            problems.append(f"{path.relative_to(root)}: {lines} lines, at most 900")
    for module in LAYERS:
        if (root / "src" / module).is_dir() and not (root / "src" / module / "README.md").exists():
            problems.append(f"src/{module}: no README.md")
    problems += kept_by_mistake(root)
    print("\n".join(problems) if problems else "include rules hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
