"""The package stays easy to find one's way in: size and names of its modules."""

from __future__ import annotations

from pathlib import Path

import pytest

import caterva2

PACKAGE = Path(caterva2.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
MAX_LINES = 350
MAX_MODULES = 16
"""Of a folder, besides ``__init__``."""
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    lines = (PACKAGE / module).read_text().count("\n")
    assert lines <= MAX_LINES, f"{module} has {lines} lines: divide it by what its parts do"


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    modules = [path.stem for path in MODULES if path.parent == folder and path.stem != "__init__"]
    assert len(modules) <= MAX_MODULES, f"{folder} has {len(modules)} modules: {modules}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_named_after_what_it_holds(module: Path) -> None:
    assert not VAGUE & {*module.parts[:-1], module.stem}


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_is_a_package_that_says_what_it_is(folder: Path) -> None:
    assert (PACKAGE / folder / "__init__.py").read_text().startswith('"""')
