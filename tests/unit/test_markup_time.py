"""Markup of texts of others: it ends in time, and the text is shown without it then"""

from __future__ import annotations

import json

import pytest

from caterva2.pages.display import notebook, view
from caterva2.pages.display.highlight import Deadline, TooSlow, highlighted
from caterva2.pages.display.markdown import rendered

TEXTS = {
    "a word": "word", "a list": "- a\n- b", "a quote": "> " * 30 + "x", "brackets": "[" * 50,
    "a reference": "[a]: /b\n", "code": "```python\nx = 1\n```", "a table": "|a|\n|-|\n|b|",
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_step_of_a_parser_looks_at_the_clock(name: str) -> None:
    rendered(TEXTS[name], "r", Deadline(60))
    with pytest.raises(TooSlow):
        rendered(TEXTS[name], "r", Deadline(0))


def test_a_row_of_very_many_columns_is_no_table() -> None:
    table = "|a{}\n|-{}\n"
    assert "<table>" in rendered(table.format("|a" * 900, "|-" * 900), "r")
    assert "<table>" not in rendered(table.format("|a" * 1000, "|-" * 1000), "r")


def test_code_without_time_is_not_marked() -> None:
    assert "k-kn" in highlighted("import x", "python", Deadline(60))
    with pytest.raises(TooSlow):
        highlighted("import x", "python", Deadline(0))


def test_what_takes_too_long_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (0.0,))
    for kind, name in (("markdown", "a.md"), (None, "a.py")):
        shown = view._shown(b"# *x*", True, kind, name, "r", "")  # type: ignore[arg-type]
        assert (shown["content"], shown["text"], shown["slow"]) == ("text", "# *x*", True)
    book = {"cells": [{"cell_type": "markdown", "source": "*x*"}, {"cell_type": "code"}]}
    cells = notebook.cells(json.dumps(book), "r")
    assert [(cell.kind, str(cell.shown)) for cell in cells] == [("raw", "*x*"), ("code", "")]
