"""A service with short leases and little patience: python -P tests/hasty.py cat2pub ...

For tests of what happens when these have run out.
"""

from __future__ import annotations

import runpy
import sys

from caterva2 import limits

limits.LEASE_TTL = 5.0
limits.FIRST_BYTE = 1.5

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(f"caterva2.cli.{sys.argv[0]}", run_name="__main__", alter_sys=True)
