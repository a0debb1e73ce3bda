"""The cookie of a session."""

from __future__ import annotations

from typing import Final

COOKIE: Final = "c2subauth"
