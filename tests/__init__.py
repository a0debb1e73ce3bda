"""Tests of Caterva2."""

import os

ONE_THREAD = {"NUMEXPR_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""So that no library starts threads when it is imported: what collects tests is forked then."""
os.environ |= ONE_THREAD
