"""What is served of a directory and what is left out of it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
from rootkinds import ARRAY, BYTES, CONTENTS, OTHER, InDirectory, _chunks, _read

from caterva2.errors import (
    NotFound,
    SourceCorrupt,
    StartError,
)
from caterva2.names import DatasetPath
from caterva2.sources.directory.source import DirectorySource


def test_a_root_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for path in (tmp_path / "f", tmp_path / "nothing"):
        with pytest.raises(StartError):
            DirectorySource(path)


@pytest.mark.parametrize("path", [".hidden", ".git/config", "d/.x", "d/.e/x.b2nd"])
def test_hidden_files_are_left_out(directory: InDirectory, path: str) -> None:
    directory.put(path, ARRAY)
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert directory.source.scan(path) == {}
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath(path))
    with pytest.raises(NotFound):
        _read(directory, path, 0, 1, "e")


def test_a_link_out_of_the_root_is_refused(directory: InDirectory, tmp_path: Path) -> None:
    (tmp_path / "secret.b2nd").write_bytes(ARRAY)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.b2nd").write_bytes(ARRAY)
    (directory.directory / "l.b2nd").symlink_to(tmp_path / "secret.b2nd")
    (directory.directory / "m.b2nd").symlink_to("../secret.b2nd")
    (directory.directory / "ld").symlink_to(tmp_path / "outside")
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert directory.source.scan("ld") == {}
    for path in ("l.b2nd", "m.b2nd", "ld/x.b2nd"):
        with pytest.raises(NotFound):
            directory.source.info(DatasetPath(path))


def test_a_link_out_of_the_root_is_named_once(
    directory: InDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outside").mkdir()
    (directory.directory / "l.b2nd").symlink_to(tmp_path / "secret.b2nd")
    (directory.directory / "ld").symlink_to(tmp_path / "outside")
    (directory.directory / "inside.b2nd").symlink_to("a.b2nd")
    for scope in ("", "", "l.b2nd"):
        directory.source.scan(scope)
    assert sorted(caplog.messages) == [
        f"{name} is left out: it is a link that leads out of the root" for name in ("l.b2nd", "ld")
    ]


def test_a_link_to_a_sibling_whose_name_begins_alike_is_refused(
    directory: InDirectory, tmp_path: Path
) -> None:
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "x").write_bytes(b"secret")
    (directory.directory / "l").symlink_to(tmp_path / "root2" / "x")
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath("l"))


def test_a_link_inside_of_the_root_is_followed(directory: InDirectory) -> None:
    (directory.directory / "l.b2nd").symlink_to("d/e/b.b2nd")
    assert "l.b2nd" in directory.source.scan()
    assert _chunks(directory, "l.b2nd", [3]) == samples.raw_chunks(OTHER)[3]


def test_links_in_a_circle_are_left_out(directory: InDirectory) -> None:
    (directory.directory / "l").symlink_to("l")
    (directory.directory / "d" / "up").symlink_to("..")
    assert directory.source.scan().keys() == CONTENTS.keys()


def test_a_linked_directory_is_listed_by_its_scope_as_in_the_whole(directory: InDirectory) -> None:
    (directory.directory / "ld").symlink_to("d")
    whole = directory.source.scan()
    part = {path: entry for path, entry in whole.items() if path.startswith("ld/")}
    assert directory.source.scan("ld") == part


@pytest.mark.parametrize("scope", ["..", "../root", "d/../..", "/etc", "."])
def test_a_scope_never_leaves_the_root(directory: InDirectory, scope: str) -> None:
    assert directory.source.scan(scope) == {}


def test_a_pipe_is_left_out_and_blocks_nobody(directory: InDirectory) -> None:
    os.mkfifo(directory.directory / "p.b2nd")
    assert directory.source.scan().keys() == CONTENTS.keys()
    with pytest.raises(NotFound):
        directory.source.info(DatasetPath("p.b2nd"))


@pytest.mark.parametrize("name", ["s.b2nd", "S.B2ND"])
def test_a_directory_with_the_name_of_a_frame_is_left_out_with_one_warning(
    directory: InDirectory, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = directory.directory / name
    made = directory.directory.with_name("made.b2nd")
    blosc2.asarray(np.arange(10), urlpath=str(made), contiguous=False, mode="w")
    assert made.rename(path).is_dir()
    with caplog.at_level(logging.WARNING):
        for scope in ("", "", name, f"{name}/chunks.b2frame"):
            assert not any(name in p for p in directory.source.scan(scope))
    assert caplog.text.count("a directory with the name of a frame") == 1
    assert "contiguous=True" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("A.B2ND", ARRAY, "array"), ("a.B2nd", ARRAY, "array"), ("H.b2Frame", BYTES, "frame")],
)
def test_a_suffix_stands_for_a_kind_in_any_letter_case(
    directory: InDirectory, name: str, content: bytes, kind: str
) -> None:
    directory.put(f"Up/{name}", content)
    assert directory.source.scan()[DatasetPath(f"Up/{name}")].kind == kind
    assert directory.source.info(DatasetPath(f"Up/{name}")).kind == kind
    assert _chunks(directory, f"Up/{name}", [3]) == samples.raw_chunks(content)[3]


def test_names_that_are_no_paths_are_left_out(
    directory: InDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (b"a\\b", b"a\nb", b"\xff.b2nd"):
        fd = os.open(os.fsencode(directory.directory) + b"/" + name, os.O_CREAT | os.O_WRONLY)
        os.close(fd)
    assert directory.source.scan().keys() == CONTENTS.keys()
    assert len(caplog.messages) == 3
    assert all(message.isprintable() for message in caplog.messages)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, ARRAY[:-10], ARRAY[:100], BYTES])
def test_a_corrupt_array_is_named_while_others_are_served(
    directory: InDirectory, content: bytes
) -> None:
    directory.put("d/bad.b2nd", content)
    directory.source.scan()
    with pytest.raises(SourceCorrupt, match=r"d/bad\.b2nd"):
        directory.source.info(DatasetPath("d/bad.b2nd"))
    assert len(_chunks(directory, "a.b2nd", list(range(10)))) > 0


def _lazy_expression(path: str, operand: Any) -> None:
    (operand + 1).save(path)


def _lazy_function(path: str, operand: Any) -> None:
    def plus_one(inputs: Any, output: Any, _: Any) -> None:
        output[:] = inputs[0] + 1

    made = blosc2.lazyudf(
        plus_one, (operand,), operand.dtype, chunks=operand.chunks, blocks=operand.blocks
    )
    made.save(path)


def _proxy(path: str, operand: Any) -> None:
    blosc2.Proxy(operand, urlpath=path)


def _reference(path: str, operand: Any) -> None:
    marker = {"b2o": {"kind": "c2array", "version": 1}}
    blosc2.empty(operand.shape, operand.dtype, urlpath=path, meta=marker)


@pytest.mark.parametrize(
    ("save", "why"),
    [
        (_lazy_expression, "computed, not stored (lazyexpr)"),
        (_lazy_function, "computed, not stored (LazyArray)"),
        (_proxy, "a proxy of data elsewhere"),
        (_reference, "refers to data elsewhere (c2array)"),
    ],
)
def test_what_holds_no_data_of_its_own_is_refused_with_one_warning(
    directory: InDirectory,
    caplog: pytest.LogCaptureFixture,
    save: Callable[[str, Any], None],
    why: str,
) -> None:
    operand = blosc2.asarray(np.arange(100), urlpath=str(directory.directory / "x.b2nd"))
    save(str(directory.directory / "lazy.b2nd"), operand)
    for _ in range(2):
        etag = directory.source.scan()[DatasetPath("lazy.b2nd")].etag
    assert caplog.text.count("lazy.b2nd can't be served") == 1
    assert why in caplog.text
    for ask in (
        lambda: directory.source.info(DatasetPath("lazy.b2nd")),
        lambda: next(directory.source.chunks(DatasetPath("lazy.b2nd"), etag, [0])),
    ):
        with pytest.raises(SourceCorrupt, match=re.escape(why)):
            ask()
    assert len(_chunks(directory, "x.b2nd", [0])) > 0


def test_a_corrupt_chunk_is_named(directory: InDirectory) -> None:
    raw = samples.raw_chunks(ARRAY)[3]
    at = ARRAY.index(raw)
    directory.put("bad.b2nd", ARRAY[:at] + b"\xff" * 32 + ARRAY[at + 32 :])
    _chunks(directory, "bad.b2nd", [0, 1])
    with pytest.raises(SourceCorrupt, match=r"bad\.b2nd"):
        _chunks(directory, "bad.b2nd", [3])
