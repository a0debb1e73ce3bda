"""Version of the package."""

from __future__ import annotations

__version__ = "2026.11.0.dev0"
