"""``python -c``, ``-m`` and ``-`` in a forked process, which has imported what programs need."""

from __future__ import annotations

import runpy
import sys


def main(arguments: list[str]) -> int:
    """Run a program, as Python does with these arguments."""
    kind, *given = arguments
    if kind == "-m":
        name, *given = given
        sys.argv[1:] = given
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif kind in ("-c", "-"):
        text = given.pop(0) if kind == "-c" else sys.stdin.read()
        sys.argv[:] = [kind, *given]
        exec(compile(text, "<program>", "exec"), {"__name__": "__main__"})
    else:
        raise SystemExit(f"python: {arguments} is not supported")
    return 0
