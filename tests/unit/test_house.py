"""The package stays easy to find one's way in: size and names of modules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import caterva2

PACKAGE = Path(caterva2.__file__).parent
TESTS = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
MAX_LINES = 350
MAX_MODULES = 16
"""Of a folder, besides ``__init__``."""
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


@pytest.mark.parametrize("place", [PACKAGE, TESTS], ids=["package", "tests"])
def test_a_module_can_be_read_in_one_sitting(place: Path) -> None:
    modules = place.rglob("*.py")
    lines = {path.relative_to(place): path.read_text().count("\n") for path in modules}
    long = {str(path): count for path, count in lines.items() if count > MAX_LINES}
    assert not long, f"{long}: divide them by what their parts do"


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    held = Counter(path.parent for path in MODULES if path.stem != "__init__")
    assert not {str(folder): count for folder, count in held.items() if count > MAX_MODULES}


def test_a_module_is_named_after_what_it_holds() -> None:
    assert not [str(path) for path in MODULES if VAGUE & {*path.parts[:-1], path.stem}]


def test_a_folder_is_a_package_that_says_what_it_is() -> None:
    packages = {folder: PACKAGE / folder / "__init__.py" for folder in FOLDERS}
    silent = [str(f) for f, path in packages.items() if not path.read_text().startswith('"""')]
    assert not silent
