"""Run targets, each in a process of its own: ``bin/fuzz [TARGET ...] [--seconds N]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz import engines
from tests.fuzz.targets import NAMES
from tests.fuzz.watching import Slip, save

DIRECTORY = Path("_caterva2/fuzz")
HANGS_S = 30.0
"""Seconds without an end of an input after which its process is killed."""
STARTS_S = 300.0
"""Seconds after which one is killed that took no input yet."""
LOOK_S = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=60, metavar="N", help="each; default: 60")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help=f"default: {DIRECTORY}")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(NAMES):
        parser.error(f"{', '.join(sorted(unknown))}: no such target")
    options.directory.mkdir(parents=True, exist_ok=True)
    print(f"{'executions':>10} {'seconds':>7} {'crashes':>7}")
    all_crashes = 0
    for name in options.targets or NAMES:
        started = time.monotonic()
        executions, crashes = fuzz(name, options.seconds, options.seed, options.directory)
        seconds = time.monotonic() - started
        print(f"{executions:10} {seconds:7.0f} {crashes:7}  {name}", flush=True)
        all_crashes += crashes
    return 1 if all_crashes else 0


def fuzz(name: str, seconds: float, seed: int, directory: Path) -> tuple[int, int]:
    """Run a target for some time, in new processes where one dies; count inputs and crashes."""
    slip, until, died = Slip(), time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        before = slip.read()[0]
        pid = _forked(name, left, seed + died, slip, directory)
        why = _watch(pid, slip)
        executions, _, data = slip.read()
        if executions == before:
            raise SystemExit(f"{name} did not begin: {directory / name}.log")
        if not why:
            break
        died += 1
        save(directory, name, data, why)
    executions, crashes, _ = slip.read()
    return executions, crashes + died


def _forked(name: str, seconds: float, seed: int, slip: Slip, directory: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        log = os.open(directory / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        engines.run(name, seconds, seed, slip, directory)
        code = 0
    except BaseException:  # noqa: BLE001 - the parent's stack must not be unwound here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _watch(pid: int, slip: Slip) -> str:
    """Wait for the end of a process; return why it is a fault, and nothing if it is none."""
    executions, since, most = slip.read()[0], time.monotonic(), STARTS_S
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return f"the process ended with {code}" if code else ""
        if (now := slip.read()[0]) != executions:
            executions, since, most = now, time.monotonic(), HANGS_S
        elif time.monotonic() - since > most:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return f"it did not end within {most:g} s"
        time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
