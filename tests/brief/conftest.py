import sys

import keystile

for name in ("api", "vault"):
    sys.path.insert(0, str(keystile.SOURCE / "tests" / name))
