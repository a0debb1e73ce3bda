"""Caterva2: on-demand access to Blosc2 and HDF5 data repositories."""

from __future__ import annotations

__version__ = "2026.11.0.dev0"
