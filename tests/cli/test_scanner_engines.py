#!/usr/bin/python3
"""The patterns of `keystile scanners` in the engines that scanners match with: RE2, whose dialect gitleaks and trufflehog
(Go) speak, and Hyperscan's, which large code hosts search with. They find just what Python's own engine finds."""
import ctypes
import subprocess

import keystile
import pytest

from test_scanners import NO_TOKENS, PREFIXES, SECRET, checksummed, expressions

PREFIX = list(PREFIXES.values())
LINES = [around.format(text)
         for prefix in PREFIX for text in (f"{prefix}_{SECRET}", checksummed(f"{prefix}_{SECRET}"))
         for around in ("{}", "KEY={}", '"{}"', "Bearer {}", "https://x/?k={}&a=1", "({}).", "é{}é", "\t{}\t", "a-{}-b")]
LINES += [*NO_TOKENS, "", "nothing here"]


@pytest.fixture(scope="module")
def patterns(tmp_path_factory):
    """(scanner, prefix): the expression, compiled by Python."""
    found = expressions(tmp_path_factory.mktemp("nothing") / "data")
    return {(scanner, prefix): e for scanner, by_prefix in found.items() for prefix, e in by_prefix.items()}


@pytest.fixture(scope="module")
def re2(tmp_path_factory):
    program = tmp_path_factory.mktemp("re2") / "find_re2"
    source = keystile.SOURCE / "tests" / "cli" / "find_re2.cc"
    subprocess.run(["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lre2"], check=True)

    def find(expression):
        done = subprocess.run([program, expression], input="\n".join(LINES) + "\n", capture_output=True, text=True)
        assert done.returncode == 0, (expression, done.stderr)
        return done.stdout.split("\n")[:-1]
    return find


def in_python(expression, line):
    """What a scanner would report: the group, or the match where there is none."""
    found = expression.search(line)
    return "" if not found else found.group(1) if expression.groups and "?:" in expression.pattern else found.group(0)


@pytest.mark.parametrize("scanner", ["gitleaks", "trufflehog"])
@pytest.mark.parametrize("prefix", PREFIX)
def test_re2_finds_the_same(patterns, re2, scanner, prefix):
    expression = patterns[scanner, prefix]
    found = re2(expression.pattern)
    assert found == [in_python(expression, line) for line in LINES]
    assert any(found) and not all(found)


class Hyperscan:
    """What is needed of libhs: compile, scan a block."""

    FLAGS = 1 << 8            # HS_FLAG_SOM_LEFTMOST: where a match begins, too
    MODE = 1                  # HS_MODE_BLOCK
    HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_ulonglong, ctypes.c_ulonglong, ctypes.c_uint, ctypes.c_void_p)

    def __init__(self, expression):
        self.hs = ctypes.CDLL("libhs.so.5")
        self.database, self.scratch, error = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        status = self.hs.hs_compile(expression.encode(), self.FLAGS, self.MODE, None, ctypes.byref(self.database), ctypes.byref(error))
        assert status == 0, f"Hyperscan does not take {expression}"
        assert self.hs.hs_alloc_scratch(self.database, ctypes.byref(self.scratch)) == 0

    def find(self, line):
        """(from, to) of each match in the bytes of the line."""
        found, data = [], line.encode()

        def take(_id, begin, end, _flags, _context):
            found.append((begin, end))
            return 0
        handler = self.HANDLER(take)
        assert self.hs.hs_scan(self.database, data, len(data), 0, self.scratch, handler, None) == 0
        return found

    def close(self):
        self.hs.hs_free_scratch(self.scratch)
        self.hs.hs_free_database(self.database)


@pytest.mark.parametrize("scanner", ["gitleaks", "trufflehog", "github"])
@pytest.mark.parametrize("prefix", PREFIX)
def test_hyperscan_finds_the_same(patterns, scanner, prefix):
    expression = patterns[scanner, prefix]
    engine = Hyperscan(expression.pattern)
    try:
        for line in LINES:
            wanted, found = expression.search(line), engine.find(line)
            assert bool(wanted) == bool(found), line
            if wanted:
                # It tells every end that a match may have; the longest is Python's.
                begin, end = len(line[:wanted.start()].encode()), len(line[:wanted.end()].encode())
                assert max(found, key=lambda match: match[1]) == (begin, end), line
    finally:
        engine.close()
