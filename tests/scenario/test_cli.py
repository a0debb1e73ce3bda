"""``cat2cli`` as people and scripts use it."""

from __future__ import annotations

import base64
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

from tests import forkserver
from tests.conftest import Stack, eventually, example_root
from tests.httpscript import Received, Reply, refusal, serving
from tests.inprocess import cat2cli
from tests.terminal import at_terminal

EVIL = "\x1b]0;gotcha\x07"


@pytest.fixture(scope="module")
def odd_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A subscriber of a root whose contents are after the terminal."""
    source = tmp_path_factory.mktemp("odd")
    array = blosc2.asarray(np.array(EVIL), urlpath=str(source / "evil.b2nd"))
    array.schunk.vlmeta[f"name{EVIL}"] = f"value{EVIL}"
    (source / "evil.txt").write_text("a" * 5000 + EVIL)
    (source / "table.txt").write_text("a\tb\nsecond line\n")
    (source / "größe [red].txt").write_text("größe")
    (source / "[bold]").mkdir()
    (source / "[bold]" / "a[1].txt").write_text("bracketed")
    (source / "noise.bin").write_bytes(bytes(range(256)))
    blosc2.zeros((2**15, 2**15), dtype="f8", urlpath=str(source / "huge.b2nd"))
    stack = Stack(tmp_path_factory.mktemp("services"))
    try:
        stack.start(odd=source)
        yield stack
    finally:
        stack.stop_all()


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["show", "foo/ds-1d.b2nd[[1, 5, -1]]"], "[  1   5 999]"),
        (["show", "foo/ds-1d-fields.b2nd['a']", "--json"], json.dumps(list(range(1000)))),
        (["show", "foo/ds-1d-b.b2nd[0]", "--json"], '"foobar"'),
        (["show", "foo/dir2/ds-4d.b2nd[0, 0, 0, 1]", "--json"], "[1.0, 1.0]"),
        (["show", "foo/ds-sc-attr.b2nd"], "foobar"),
        (["list", "foo/dir1/"], "foo/dir1/ds-2d.b2nd\nfoo/dir1/ds-3d.b2nd"),
        (["list", "foo/dir1", "--json"], '["foo/dir1/ds-2d.b2nd", "foo/dir1/ds-3d.b2nd"]'),
        (["tree", "foo/dir1", "--json"], '{"foo/dir1": {"ds-2d.b2nd": null, "ds-3d.b2nd": null}}'),
        (
            ["ls", "-l", "foo/dir1"],
            "kind   shape      dtype    size   path\n"
            "array  (10, 20)   uint16   400 B  foo/dir1/ds-2d.b2nd\n"
            "array  (3, 4, 5)  float32  240 B  foo/dir1/ds-3d.b2nd",
        ),
    ],
)
def test_prints(shared_stack: Stack, arguments: list[str], output: str) -> None:
    done = shared_stack.cli(*arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == output + "\n"


def test_list_of_nothing_prints_nothing(shared_stack: Stack) -> None:
    done = shared_stack.cli("list", "@public")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_options_stand_before_or_after_the_command(shared_stack: Stack) -> None:
    url = shared_stack.url
    expected = cat2cli("--subscriber", url, "--json", "roots").stdout
    assert json.loads(expected)["foo"]["subscribed"] is True
    assert cat2cli("roots", "--json", "--url", url).stdout == expected
    assert cat2cli("--json", "roots", "--subscriber", url).stdout == expected
    late = cat2cli("--subscriber", "http://127.0.0.1:1", "roots", "--url", url, "--json")
    assert late.stdout == expected  # the later one counts


def test_settings_file_names_the_subscriber(shared_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "caterva2.toml").write_text(f'[client]\nsubscriber = "{shared_stack.url}"\n')
    assert cat2cli("roots", cwd=tmp_path).stdout == "@public *\nfoo *\n"


def test_settings_file_limits_tries(tmp_path: Path) -> None:
    (tmp_path / "caterva2.toml").write_text("[limits.client]\ntries = 2\n")
    with serving(lambda _: refusal(503, "busy", "later", Retry_After="0")) as script:
        done = cat2cli("roots", "--url", script.url, cwd=tmp_path)
    assert (done.returncode, len(script.asked)) == (1, 2)


def test_info_is_a_table_for_people(shared_stack: Stack) -> None:
    shown = shared_stack.cli("info", "foo/ds-sc-attr.b2nd").stdout
    lines = {line.split()[0]: line.split(None, 1)[1] for line in shown.splitlines()}
    assert (lines["shape"], lines["dtype"], lines["vlmeta.b"]) == ("()", "<U6", "'foo'")
    assert "nfiles" in shared_stack.cli("info", "foo/dir1").stdout


def test_root_is_left_and_followed_again(odd_stack: Stack) -> None:
    odd_stack.publish("left", example_root())
    assert odd_stack.cli("unsubscribe", "left").stdout == "Ok\n"
    assert "left" in odd_stack.cli("roots").stdout.splitlines()
    assert odd_stack.cli("subscribe", "left").stdout == "Ok\n"
    assert "left *" in odd_stack.cli("roots").stdout.splitlines()


# --- what comes from outside ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "odd/evil.b2nd"], ["info", "odd/evil.b2nd", "--json"], ["show", "odd/evil.b2nd"],
        ["show", "odd/evil.b2nd", "--json"], ["show", "odd/evil.txt"], ["list", f"odd/{EVIL}"],
        ["show", f"odd/evil.b2nd['{EVIL}']"], ["tree", "odd"], ["show", "odd/noise.bin"],
    ],
)  # fmt: skip
def test_nothing_controls_the_terminal(odd_stack: Stack, arguments: list[str]) -> None:
    done = odd_stack.cli(*arguments)
    assert not {c for c in done.stdout + done.stderr if not c.isprintable()} - {"\n"}


def test_text_is_shown_as_text_and_the_rest_by_its_size(odd_stack: Stack) -> None:
    assert odd_stack.cli("show", "odd/table.txt").stdout == "a\tb\nsecond line\n"
    assert odd_stack.cli("show", "odd/größe [red].txt").stdout == "größe\n"
    assert odd_stack.cli("show", "odd/noise.bin").stdout == "Binary data (256 bytes)\n"
    assert odd_stack.cli("show", "odd/noise.bin[65:68]").stdout == "ABC\n"


def test_names_are_no_markup(odd_stack: Stack) -> None:
    assert "├── [bold]\n│   └── a[1].txt\n" in odd_stack.cli("tree", "odd").stdout
    assert "odd/größe [red].txt" in odd_stack.cli("list", "-l", "odd").stdout
    assert odd_stack.cli("show", "odd/[bold]/a[1].txt").stdout == "bracketed\n"
    assert odd_stack.cli("show", "odd/[bold]/a[1].txt[:3]").stdout == "bra\n"


def test_what_nobody_can_read_is_not_fetched(odd_stack: Stack) -> None:
    done = odd_stack.cli("show", "odd/huge.b2nd")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "8.0 GiB are too much to show" in done.stderr
    assert odd_stack.cli("show", "odd/huge.b2nd[5, :3]").stdout == "[0. 0. 0.]\n"


# --- download and prefetch ---


def test_download_to_a_file_a_directory_and_standard_output(
    shared_stack: Stack, tmp_path: Path
) -> None:
    original = (example_root() / "README.md").read_bytes()
    (tmp_path / "there").mkdir()
    for given, where in (
        ("named.md", "named.md"), ("new/", "new/README.md"), ("there", "there/README.md"),
    ):  # fmt: skip
        done = shared_stack.cli("download", "foo/README.md", given, cwd=tmp_path)
        assert done.stdout == f"Dataset saved to {where}\n"
        assert (tmp_path / where).read_bytes() == original
    assert shared_stack.cli("download", "foo/README.md", "-").stdout.encode() == original


def test_directory_is_not_replaced_by_a_file(shared_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    done = shared_stack.cli("download", "foo/README.md", ".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "cat2cli: README.md is a directory, which a file does not replace\n"
    )  # fmt: skip
    done = shared_stack.cli("download", "foo/dir1", cwd=tmp_path)
    assert done.stderr == "cat2cli: foo/dir1 is a directory: name a file in it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_place_that_can_not_be_written_is_named(shared_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = shared_stack.cli("download", "foo/README.md", f"{tmp_path}/file/x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path}/file" in done.stderr


def test_prefetch_brings_everything_to_the_subscriber(odd_stack: Stack) -> None:
    odd_stack.publish("ahead", example_root())
    assert odd_stack.cli("prefetch", "ahead/dir1").stdout == "ahead/dir1: done, 2 of 2 datasets\n"
    job = json.loads(odd_stack.cli("prefetch", "ahead", "--no-wait", "--json").stdout)
    assert (job["path"], job["datasets"]) == ("ahead", 10)
    eventually(lambda: odd_stack.client.get_prefetch("ahead")["state"] == "done")
    assert (
        odd_stack.cli("prefetch", "ahead", "--cancel").stdout == "ahead: done, 10 of 10 datasets\n"
    )
    done = odd_stack.cli("prefetch", "ahead/nope")
    assert (done.returncode, done.stderr) == (
        1, "cat2cli: 404 Not Found: ahead/nope does not exist\n"
    )  # fmt: skip


# --- pipes, signals, terminals ---


def run_without_reader(stack: Stack, errors: Path, *arguments: str) -> tuple[int, bytes]:
    """Run ``cat2cli`` with a standard output that is closed; its exit code and errors."""
    with errors.open("wb") as file:
        child = forkserver.spawn("cat2cli", ["--url", stack.url, *arguments], file)
    assert child.stdout
    child.stdout.close()
    return child.wait(30), errors.read_bytes()


def test_reader_that_leaves_is_no_error(odd_stack: Stack, tmp_path: Path) -> None:
    shown = run_without_reader(odd_stack, tmp_path / "errors", "show", "odd/table.txt")
    assert shown == (0, b"")


def test_download_whose_reader_leaves_says_so(odd_stack: Stack, tmp_path: Path) -> None:
    given = "download", "odd/noise.bin", "-"
    code, stderr = run_without_reader(odd_stack, tmp_path / "errors", *given)
    assert (code, stderr.count(b"\n")) == (1, 1)
    assert b"standard output was closed" in stderr


def test_interrupt_ends_it_quietly(tmp_path: Path) -> None:
    ended = threading.Event()

    def slow(_: Received) -> Reply:
        ended.wait(30)
        return Reply()

    with serving(slow) as script, (tmp_path / "errors").open("wb") as errors:
        child = forkserver.spawn("cat2cli", ["--url", script.url, "roots"], errors)
        eventually(lambda: script.asked)
        child.send_signal(signal.SIGINT)
        assert child.stdout
        with child.stdout as printed:
            assert printed.read() == b""
        assert child.wait(10) == 130
        ended.set()
    assert (tmp_path / "errors").read_bytes() == b""


@pytest.mark.parametrize("body", [b"[]", b'{"kind": 5}', b"null", b'{"shape": "x"}'])
def test_answer_that_makes_no_sense_is_one_line(body: bytes) -> None:
    with serving(lambda _: Reply(body=body)) as script:
        for command in (["info", "foo/a"], ["show", "foo/a"], ["download", "foo/a", "/dev/null/x"]):
            done = cat2cli("--url", script.url, *command)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_time_limit_is_kept() -> None:
    ended = threading.Event()

    def slow(_: Received) -> Reply:
        ended.wait(5)
        return Reply()

    with serving(slow) as script:
        done = cat2cli("--url", script.url, "roots", "--timeout", "0.3")
        ended.set()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "timed out" in done.stderr


def test_tables_fit_a_terminal(shared_stack: Stack) -> None:
    code, shown = at_terminal("cat2cli", "--url", shared_stack.url, "ls", "-l", "foo", COLUMNS="60")
    assert code == 0
    assert "kind" in shown
    assert "array" in shown
    assert max(len(re.sub(r"\x1b\[[0-9]*m", "", line)) for line in shown.splitlines()) == 60


@pytest.mark.parametrize(
    "arguments", [[], ["roots", "--timeout", "-1"], ["show"], ["list", "foo", "--nope"]]
)
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    done = cat2cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_json_loses_nothing(odd_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    record = np.zeros(2, [("n", "i4"), ("v", "f4", (2000,))])
    record["v"] = np.arange(2000)
    blosc2.asarray(record, urlpath=str(source / "a.b2nd"))
    (source / "plain.bin").write_bytes(b"\x00\xff\\x00")
    (source / "dir").mkdir()
    (source / "dir" / "x.txt").write_text("x")
    odd_stack.publish("lossless", source)
    shown = json.loads(odd_stack.cli("show", "lossless/a.b2nd[1]", "--json").stdout)
    assert shown == [0, list(range(2000))]
    shown = json.loads(odd_stack.cli("show", "lossless/plain.bin", "--json").stdout)
    assert base64.b64decode(shown["base64"]) == b"\x00\xff\\x00"
    listed = json.loads(odd_stack.cli("list", "-l", "lossless/dir", "--json").stdout)
    assert [entry["size"] for entry in listed] == [1]
    drawn = json.loads(odd_stack.cli("tree", "lossless", "--json").stdout)
    assert drawn == {"lossless": {"a.b2nd": None, "dir": {"x.txt": None}, "plain.bin": None}}


def test_text_does_nothing_to_the_terminal(odd_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "a.txt").write_bytes("one\r\ntwo\rthree \u202eevil".encode())
    odd_stack.publish("plain", source)
    assert odd_stack.cli("show", "plain/a.txt").stdout == "one\ntwo\\rthree \\u202eevil\n"
