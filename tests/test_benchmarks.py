"""Every topic of the benchmarks runs, and the report takes its table."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from benchmarks import environments, report
from benchmarks.__main__ import TOPICS
from benchmarks.fileserver import file_server
from benchmarks.scale import TINY


def marks(name: str) -> list[pytest.MarkDecorator]:
    missing = name == "alternatives" and not environments.PLACE.exists()
    install = pytest.mark.skipif(missing, reason="bin/bench --alternatives installs them")
    limit = 900 if name == "attacks" else 300
    return [install, pytest.mark.slow, pytest.mark.timeout(limit)]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in TOPICS])
def test_topic_runs_at_a_tiny_size(name: str, tmp_path: Path) -> None:
    table = TOPICS[name](TINY, tmp_path)
    assert table.name == name
    assert table.rows
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_report_keeps_the_prose_around_a_table(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Figures\n\nBefore.\n<!-- reads -->\nold\n<!-- end of reads -->\nAfter.\n")
    report.put(readme, "reads", "new")
    report.put(readme, "slices", r"1 \ 2")
    text = readme.read_text()
    assert "Before.\n<!-- reads -->\n\nnew\n\n<!-- end of reads -->\nAfter." in text
    assert "old" not in text
    assert r"1 \ 2" in text


def test_table_says_whether_a_bar_is_met() -> None:
    assert report.at_most(1.0, 2.0).endswith(": met")
    assert "missed" in report.at_least(1.0, 2.0)


def test_file_server_reads_a_directory_of_its_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "private"
    directory.mkdir(mode=0o700)
    (directory / "a.bin").write_bytes(b"0123456789")
    with (
        file_server(directory, tmp_path / "state") as (url, _),
        urllib.request.urlopen(f"{url}/a.bin", timeout=20) as answer,
    ):
        assert answer.read() == b"0123456789"
