"""How a request says whose it is: the cookie of a session, or an API token or that of a grant."""

from __future__ import annotations

from typing import Final

COOKIE: Final = "c2subauth"
BEARER: Final = "Bearer "
"""The scheme of a token in the header ``Authorization``."""
