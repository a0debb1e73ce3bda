"""A service with short leases and little patience, for tests of what happens when these run out."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import IO

from caterva2 import limits


def spawn(
    command: str,
    arguments: list[str],
    errors: IO[bytes],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start one in a process; a `Spawn` of cli/children.py."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__, command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        cwd=cwd,
        env=env,
    )


if __name__ == "__main__":
    limits.LEASE_TTL = 5.0
    limits.FIRST_BYTE = 1.5
    del sys.argv[0]
    runpy.run_module(f"caterva2.cli.{sys.argv[0]}", run_name="__main__", alter_sys=True)
