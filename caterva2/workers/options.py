"""Options of workers."""

from __future__ import annotations

from dataclasses import dataclass

from caterva2.runtime.logs.log import LogFormat


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How many processes serve, where 1 is the subscriber alone, and how their logs look."""

    count: int = 1
    loglevel: str = "info"
    log_format: LogFormat = "auto"
