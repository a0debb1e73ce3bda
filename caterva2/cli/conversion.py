"""Command line of ``cat2import`` and ``cat2export``: options, progress and report."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import DownloadColumn, TransferSpeedColumn

from caterva2.cli import arguments
from caterva2.cli.terminal.progress import Update, watched
from caterva2.conversion.report import Report
from caterva2.frames.metadata import jsonable
from caterva2.runtime.printable import printable

Work = Callable[[Path, Path, bool, Update | None], Report]


def parser(prog: str, description: str, source: str, target: str) -> argparse.ArgumentParser:
    """Make the parser of either command."""
    made = arguments.bare_parser(prog, description)
    made.epilog = (
        "Exit code: 0 if everything was converted, 1 if something was skipped or it failed, 2 for "
        "a wrong command line. The result appears when it is complete."
    )
    made.add_argument("source", type=Path, metavar=source)
    made.add_argument("target", type=Path, metavar=target)
    made.add_argument("--force", action="store_true", help="replace a target that exists")
    made.add_argument(
        "--lenient", action="store_true", help="exit with 0 even if something was skipped"
    )
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    return made


def run(options: argparse.Namespace, work: Work) -> int:
    """Convert, print the report and return the exit code."""
    arguments.start_log("error")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with watched(str(options.source), DownloadColumn(), TransferSpeedColumn()) as progress:
        report = work(options.source, options.target, options.force, progress)
    if options.json:
        print(json.dumps(jsonable(report.plain())))
    else:
        print(printable(report.text(), keep="\n"))
    return 1 if report.skipped and not options.lenient else 0


def _interrupt(*_: Any) -> None:
    """End as after Ctrl+C, which removes the incomplete result."""
    raise KeyboardInterrupt
