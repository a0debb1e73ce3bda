"""How many random examples tests try: few every day, many where slow tests are selected too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import is_hypothesis_test, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

T = TypeVar("T")
CHARACTERS = st.characters(exclude_categories=["Cs"])
"""Those of UTF-8, which `st.text` takes a process seconds to find out where nothing is cached."""
EVERYDAY, THOROUGH = 12, 100
# No test is a matter of how busy a machine is.
settings.register_profile("everyday", deadline=None, max_examples=EVERYDAY)
settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)


def choose(markers: str) -> None:
    """Choose the profile for a run of tests, before they are imported."""
    settings.load_profile("everyday" if markers == "not slow" else "thorough")
    if not thorough():  # each process would parse all our modules, for the constants in them
        providers.is_local_module_file = lambda _: False  # type: ignore[assignment]


def examples(thorough: int) -> int:
    """Return how many examples a test tries that tries this many in a thorough run."""
    return thorough * settings.default.max_examples // THOROUGH


def thorough() -> bool:
    """Whether slow tests are selected too, and random ones try many examples."""
    return settings.default.max_examples >= THOROUGH


def some(cases: Sequence[T], every: int = 4, first: int = 0) -> Sequence[T]:
    """Return all cases in a thorough run, and only some of them every day."""
    return cases if thorough() else cases[first % every :: every]


def mark(items: list[pytest.Item]) -> None:
    """Have random tests run without coverage: it would take four times as long."""
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")
