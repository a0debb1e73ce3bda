"""The services' commands where only the light client is installed."""

from __future__ import annotations

import sys

import pytest

from caterva2.cli import launch


def test_missing_extra_is_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "caterva2.cli.cat2sub", raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert launch.cat2sub() == 1
    told = capsys.readouterr().err
    assert told == "cat2sub: uvloop is not installed: in the checkout, pip install '.[services]'\n"
