"""The file of settings and limits."""

from __future__ import annotations

import contextlib

from caterva2.config import limits, settings
from caterva2.errors import ConfigError
from tests.fuzz.targets import _files


def one(data: bytes) -> None:
    with _files.written("caterva2.toml", data) as path:
        with contextlib.suppress(ConfigError):
            limits.load_limits(path)
        for kind in settings.SECTIONS.values():
            with contextlib.suppress(ConfigError):
                settings.load(kind, path)
