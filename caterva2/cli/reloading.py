"""Settings that a running service reads again at SIGHUP."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic

from caterva2 import config

log = logging.getLogger(__name__)


def _nothing_else(_: object) -> None:
    pass


class Reload(Generic[config.S]):
    """Read the settings of a service again, and apply those that can change while it runs.

    The file has to be there still if there was one at the start: without it the defaults would
    hold, and they let everybody read.

    Parameters
    ----------
    settings : Settings
        Of the start.
    options : argparse.Namespace
        The command line, which goes before the file as at the start.
    names : tuple of str
        Settings that the command line has.
    apply : callable, optional
        Applies all settings of ``reloaded`` but the log level; raises `ConfigError` before it
        changes anything.
    reloaded : tuple of str, optional
        Settings that this changes.
    """

    def __init__(
        self,
        settings: config.S,
        options: argparse.Namespace,
        names: tuple[str, ...],
        apply: Callable[[config.S], None] = _nothing_else,
        reloaded: tuple[str, ...] = (),
    ) -> None:
        self._started = settings
        self._given: dict[str, Any] = {name: getattr(options, name) for name in names}
        self._ident: str = options.id
        self._apply = apply
        self._reloaded = {"loglevel", *reloaded}
        file = options.conf or Path(config.FILE)
        self._file = file.absolute() if file.exists() else None

    def __call__(self) -> None:
        """Reload the settings. Blocks.

        Raises
        ------
        ConfigError
            If the file would be refused at a start; everything is as before then.
        """
        settings = config.load(type(self._started), self._file, self._given, self._ident)
        config.load_limits(self._file)
        self._apply(settings)
        logging.getLogger().setLevel(settings.loglevel.upper())
        log.info("reloaded %s", ", ".join(sorted(self._reloaded)))
        before, now = self._started.model_dump(), settings.model_dump()
        later = sorted(key for key in now.keys() - self._reloaded if now[key] != before[key])
        if later:
            log.warning("a restart is needed for changes of %s", ", ".join(later))
