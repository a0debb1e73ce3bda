"""The names that ``import caterva2`` offers."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import caterva2
import caterva2.client

TOP = pathlib.Path(__file__).parents[2]


def test_public_names_are_listed() -> None:
    assert {"Client", "Dataset", "StaleVersion", "BadSelection", "BadName"} <= set(dir(caterva2))
    assert set(caterva2.__all__) <= set(dir(caterva2))
    assert set(caterva2.client.__all__) <= set(dir(caterva2.client))


def test_every_public_name_exists() -> None:
    for name in caterva2.__all__:
        found = getattr(caterva2, name)
        assert name == "__version__" or found.__name__ == name


def test_errors_that_the_manual_names_are_public() -> None:
    page = (TOP / "docs" / "client.md").read_text().partition("## Errors")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert "StaleVersion" in named
    assert set(named) <= set(dir(caterva2))
    assert all(issubclass(getattr(caterva2, name), caterva2.CatervaError) for name in named)


def test_names_are_listed_without_an_import_of_numpy() -> None:
    program = "import sys, caterva2; dir(caterva2); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"
