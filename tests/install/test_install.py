#!/usr/bin/python3
"""What `meson install` puts on a machine from a release build: the program, libkeystile (shared and static, by pkg-config, with one header),
manual pages and platform files. Servers are compiled against the installed library alone, and decide."""
import json
import os
import pathlib
import re
import subprocess

import keystile
import pytest


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A directory that stands for a machine's `/`."""
    place = tmp_path_factory.mktemp("root")
    # What is installed, and no tests.
    known = {line.split(": ")[0] for line in run("ninja", "-C", keystile.BUILD, "-t", "targets", "all").splitlines()}
    wanted = {os.path.relpath(path, keystile.BUILD) for path in json.loads(run("meson", "introspect", keystile.BUILD, "--installed"))}
    assert {"keystile", "man/keystile.1"} <= wanted & known
    run("ninja", "-C", keystile.BUILD, *sorted(wanted & known))
    run("meson", "install", "-C", keystile.BUILD, "--no-rebuild", "--destdir", place)
    return place


@pytest.fixture(scope="module")
def installed(root):
    """The prefix on it."""
    return one(root, "bin/keystile").parent.parent


def run(*command, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env={**os.environ, **(env or {})})
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def one(root, pattern):
    found = sorted(root.rglob(pattern))
    assert found, f"no {pattern} in {root}"
    return found[0]


def test_what_is_there(installed):
    names = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    assert {"bin/keystile", "include/keystile/keystile.h"} <= names
    assert [n for n in names if n.startswith("include/")] == ["include/keystile/keystile.h"]
    for pattern in (r"libkeystile\.a", r"libkeystile\.so\.[0-9.]+", r"pkgconfig/keystile\.pc", r"man1/keystile\.1", r"man5/keystile\.yaml\.5",
                    r"platforms/sip-trunk\.yaml"):
        assert [n for n in names if re.search(pattern + r"(\.gz)?$", n)], pattern


def test_the_installed_program_works(installed, tmp_path):
    program, data = installed / "bin/keystile", tmp_path / "data"
    token = run(program, "init", "--data", data).strip()
    assert re.fullmatch(r"ks_[0-9a-f]{32}", token)
    # Its keeper and its platform files are found where they were installed.
    assert "sip-trunk" in run(program, "platforms", "list", "--data", data)
    assert run(program, "version").startswith("keystile ")


def test_only_its_own_names_are_exported(installed):
    exported = run("nm", "-D", "--defined-only", one(installed, "libkeystile.so"))
    names = {line.split()[-1].split("@")[0] for line in exported.splitlines()}
    assert names and all(n.startswith(("keystile_", "KEYSTILE_")) for n in names), sorted(names)


@pytest.mark.parametrize("language", ["cc", "c++"])
@pytest.mark.parametrize("linked", ["shared", "static"])
def test_a_server_decides_by_the_installed_library(root, installed, tmp_path, linked, language):
    pc = {"PKG_CONFIG_PATH": str(one(installed, "keystile.pc").parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    flags = run("pkg-config", "--cflags", "--libs", *(["--static"] if linked == "static" else []), "keystile", env=pc).split()
    program = tmp_path / "decide"
    source = keystile.SOURCE / "examples" / "decide.c"
    only = ["-Wl,-Bstatic", "-lkeystile", "-Wl,-Bdynamic"]
    flags = [f for flag in flags for f in (only if linked == "static" and flag == "-lkeystile" else [flag])]
    # C++ reads the same header; the program itself is C.
    if language == "c++":
        source = tmp_path / "decide.cc"
        source.write_text('#include <keystile/keystile.h>\nint main()\n{\n\treturn keystile_status_text(KEYSTILE_OK) ? 0 : 1;\n}\n')
    run(language, "-Wall", "-Wextra", "-Werror", "-o", program, source, *flags)
    library = str(one(installed, "libkeystile.so").parent)
    needed = run("readelf", "-d", program)
    assert ("libkeystile.so" in needed) == (linked == "shared")
    if language == "c++":
        run(program, env={"LD_LIBRARY_PATH": library})
        return
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        made = daemon.call("POST", "/v1/keys", {"name": "server", "scopes": ["contacts:read"], "expires_at": None}, token=daemon.first_key).json

        def decide(method):
            return subprocess.run([program, pathlib.Path(data) / "ring", method, "/api/v1/contacts"], capture_output=True, text=True,
                                  env={**os.environ, "KEY": made["token"], "LD_LIBRARY_PATH": library})
        allowed = decide("GET")
        assert (allowed.returncode, allowed.stdout.split("\n")[0]) == (0, "200 ok"), allowed
        assert f"X-Keystile-Principal: {made['id']}" in allowed.stdout
        assert decide("POST").returncode == 3
        # Revoked over HTTP: refused in the server's process.
        daemon.call("DELETE", f"/v1/keys/{made['id']}", token=daemon.first_key)
        assert decide("GET").stdout.startswith("401 credential_invalid")
