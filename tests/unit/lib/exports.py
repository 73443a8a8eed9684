#!/usr/bin/python3
"""The shared library exports the functions of the public header, and nothing else.

    exports.py LIBRARY HEADER
"""

import re
import subprocess
import sys


def main():
    library, header = sys.argv[1:]
    listing = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", library],
                             check=True, capture_output=True, text=True).stdout
    exported = {line.split()[0].split("@")[0] for line in listing.splitlines() if line.split()[1] in "TDBRVW"}
    with open(header, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    # Inline functions are the header's own.
    text = re.sub(r"static inline [^{;]*\{.*?\n\}", "", text, flags=re.S)
    declared = set(re.findall(r"\b(keystile_[a-z_]+)\([^;{]*\);", text))
    for name in sorted(exported - declared):
        print("exported, but not in the header: " + name)
    for name in sorted(declared - exported):
        print("in the header, but not exported: " + name)
    return 0 if declared and exported == declared else 1


if __name__ == "__main__":
    sys.exit(main())
