"""Run the tests of an installation; arguments are those of pytest."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("pytest", "zmq", "starlette")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # it was declared absent
        return False


def main() -> int:
    """Run the tests, and return an exit code."""
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        hint = "pip install 'caterva2[tests]', or 'caterva2[services]' and pytest"
        print(f"caterva2.tests: {missing[0]} is not installed: {hint}", file=sys.stderr)
        return 1
    import pytest

    top = Path(__file__).parent
    # Settings and plugins of the directory that this runs in are of other tests.
    fixed = ["-p", "no:cacheprovider", "-c", str(top / "pytest.ini"), "--rootdir", str(top)]
    return int(pytest.main([*fixed, "--disable-plugin-autoload", *sys.argv[1:], str(top)]))


if __name__ == "__main__":
    sys.exit(main())
