"""The code blocks of README and docs work as written, in a world with the files that they name."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import subprocess
import tarfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np
import pytest

import caterva2
from tests.conftest import HeldPort, Stack, example_root
from tests.contract import tools
from tests.contract.commands import commands
from tests.thoroughness import some

TOP = Path(__file__).parents[2]
DOCUMENTS = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])
USERS = ("ann@example.com", "ada@example.org")
WORD = "correct horse"
NOT_RUN = {
    "pip install '.[services]'\ncaterva2 serve\n": "runs until it is interrupted: test_serve.py",
    "bin/test ": "runs all tests",
    "cat2sub --statedir /var/lib/cat2 --backup": "is run by the tests of backups",
    "@pytest.mark": "is the first line of a test",
    "cat2keys ": "is run by the test of two sites, which fills the key and the address in",
    '"""A tab for images of the sky."""': "is a module of a package, which a browser test installs",
}
"""Blocks by their beginnings, and why they are not executed."""
SETTINGS = f"""
[broker]
endpoint = "127.0.0.1:0"
xsub = "127.0.0.1:0"
xpub = "127.0.0.1:0"
[publisher]
endpoint = "127.0.0.1:0"
[subscriber]
http = "127.0.0.1:0"
[client]
password = "{WORD}"
"""


@dataclass(frozen=True)
class Block:
    """A code block of a document."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def why_not(self) -> str:
        found = (why for begin, why in NOT_RUN.items() if self.text.startswith(begin))
        return next(found, "")


def blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        text = document.read_text()
        for found in re.finditer(r"^```(python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(str(document.relative_to(TOP)), line, found[1], found[2])


SLOW = re.compile("^import (duckdb|polars|tensorstore)", re.MULTILINE)
"""What is installed for slow tests only."""
BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if not block.why_not]


def cases(language: str) -> list[Any]:
    """The blocks to run, a fifth of them every day: they call what other tests are about."""
    found = [block for block in RUN if block.language == language]
    slow = {block for block in found if SLOW.search(block.text)} | {*found} - {*some(found, 5)}
    return [
        pytest.param(block, marks=pytest.mark.slow if block in slow else [], id=str(block))
        for block in found
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment with accounts, and the roots that the documents name."""
    foo, climate = tmp_path_factory.mktemp("foo") / "root", tmp_path_factory.mktemp("climate")
    shutil.copytree(example_root(), foo)
    blosc2.asarray(np.arange(15), urlpath=str(foo / "b.b2nd"))
    tools.write(foo)
    blosc2.asarray(np.ones((4, 300)), urlpath=str(climate / "t2m.b2nd"))
    mine = tmp_path_factory.mktemp("mine")
    (mine / "images").mkdir()
    blosc2.asarray(np.ones((600, 800), "f4"), urlpath=str(mine / "images" / "rings.b2nd"))
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.secret = "keeps sessions"
    try:
        for user in USERS:
            stack.add_user(user, WORD, "--superuser")
        stack.start(foo=foo, climate=climate, mine=mine)
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def keeper(world: Stack) -> caterva2.Client:
    """A superuser who is logged in."""
    return caterva2.Client(world.url, auth=(USERS[0], WORD))


@pytest.fixture
def client(world: Stack, keeper: caterva2.Client) -> caterva2.Client:
    """A superuser; there are no data in special roots, and no other users."""
    for root in ("@public", "@shared", "@personal"):
        for top in {name.split("/")[0] for name in keeper.get_list(root)}:
            keeper.remove(f"{root}/{top}")
    for user in keeper.listusers():
        if user["email"] not in USERS:
            keeper.deluser(user["email"])
    return caterva2.Client(world.url, auth=(USERS[0], WORD))


@pytest.fixture
def place(tmp_path: Path, world: Stack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: it has the files that the documents name."""
    place = tmp_path / "place"
    (place / "data").mkdir(parents=True)
    for name in ("a", "more", "results"):
        blosc2.asarray(np.arange(10), urlpath=str(place / f"{name}.b2nd"))
    with tarfile.open(place / "all.tar.gz", "w:gz") as archive:
        archive.add(place / "a.b2nd", "a.b2nd")
    for name in ("anns-password", "bobs-password"):
        (place / name).write_text(f"{WORD}\n")
    with h5py.File(place / "climate.h5", "w") as file:
        file["t2m"] = np.ones((4, 300))
    (place / "store.zarr").mkdir()
    (place / "store.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (place / "caterva2.toml").touch(mode=0o600)
    (place / "caterva2.toml").write_text(SETTINGS)
    monkeypatch.chdir(place)
    monkeypatch.setenv("CATERVA2_URL", world.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return place


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of commands: those of this tree, and curl that fails as its answer does."""
    folder = tmp_path_factory.mktemp("bin")
    curl = f"{shutil.which('curl')} --fail-with-body --silent --show-error"
    # A stream of events has no end.
    lines = {
        "pip": "true",
        "curl": f'case "$*" in\n-N*) {curl} --max-time 1 "$@"; [ $? = 28 ] ;;\n'
                f'*) exec {curl} "$@" ;;\nesac',
    }  # fmt: skip
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    with commands(folder):
        yield folder


def test_all_can_be_parsed() -> None:
    for block in RUN:
        if block.language == "python":
            compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        else:
            parsed = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True
            )
            assert (parsed.returncode, parsed.stderr) == (0, ""), block


@pytest.mark.parametrize("block", cases("python"))
def test_python_works(block: Block, world: Stack, client: caterva2.Client, place: Path) -> None:
    text = block.text.replace("http://127.0.0.1:8002", world.url)
    text = text.replace("cat2://127.0.0.1:8002", world.url.replace("http:", "cat2:"))
    names = {"caterva2": caterva2, "np": np, "client": client}
    if "await " in text:
        exec("async def block():\n" + textwrap.indent(text, "    "), names)
        block_of = names["block"]
        asyncio.run(block_of())  # type: ignore[operator]
    else:
        exec(text, names)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("block", cases("sh"))
def test_shell_works(
    block: Block, world: Stack, client: caterva2.Client, place: Path, programs: Path
) -> None:
    nowhere = HeldPort()
    text = block.text
    for written, instead in (
        ("--http 127.0.0.1:8002", "--http 127.0.0.1:0"),
        ("http://127.0.0.1:8002", world.url),
        ("10.0.0.1:8000", nowhere.address),
        ("10.0.0.2:8001", "127.0.0.1:0"),
        ("/data/climate", "data"),
        ("/var/lib/cat2", "state"),
        (".venv/bin/", ""),
        ("https://lab.example", world.url),
        ("--root 'climate*'", "--root 'climate*' > token"),
        ("~/.lab-token     # paste", "~/.lab-token <token  # paste"),
        ('"password": "..."', f'"password": "{WORD}"'),
    ):
        text = text.replace(written, instead)
    if "-b jar" in text and "-c jar" not in text:
        login = f"--data-urlencode username={USERS[0]} --data-urlencode 'password={WORD}'"
        text = f"curl -c jar {login} {world.url}/auth/jwt/login\n{text}"
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOP),
        "PASSWORD": WORD,
        "HOME": str(place),
        "CATERVA2_USERNAME": USERS[0],
    }
    done = subprocess.run(
        ["bash", "-ec", text], env=environment, input=f"{WORD}\n", capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    nowhere.close()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_not_run_has_a_reason() -> None:
    assert len(RUN) > 15
    for begin in NOT_RUN:
        assert any(block.text.startswith(begin) for block in BLOCKS), begin
