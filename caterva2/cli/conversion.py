"""Command line of ``cat2import`` and ``cat2export``: options, progress and report."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import DownloadColumn, TransferSpeedColumn

from caterva2.cli.terminal.progress import Update, watched
from caterva2.conversion.report import Report
from caterva2.frames.metadata import jsonable
from caterva2.runtime.logs.log import start_log
from caterva2.runtime.printable import printable

Work = Callable[[Path, Path, bool, Update | None], Report]


def run(options: argparse.Namespace, work: Work) -> int:
    """Convert, print the report and return the exit code."""
    start_log("error")
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
