# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/webhooks are what tools/webhook-pages.py makes of the platform files."""
import subprocess
import sys

from test_vectors import SOURCE


def test_pages_are_up_to_date():
    done = subprocess.run([sys.executable, SOURCE / "tools/webhook-pages.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
