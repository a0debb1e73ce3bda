"""``python -m caterva2.tests``: the test of an installation, with services that run or its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

from caterva2.tests.reached import EXTERNAL
from tests.conftest import Stack, example_root, run
from tests.forking import PYTHON

USER, WORD = "ann@example.com", "correct horse"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services with accounts, and a certificate if that is asked for."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.secret = "keeps sessions"
    try:
        made.add_user(USER, WORD, "--superuser")
        made.start(bar=example_root())
        yield made
    finally:
        made.stop_all()


def self_test(place: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of the installation in an empty directory."""
    plain = {name: text for name, text in os.environ.items() if "CATERVA2" not in name}
    return subprocess.run(
        [sys.executable, "-m", "caterva2.tests", "-q", *arguments],
        cwd=place, env=plain | env, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip


def external(stack: Stack) -> dict[str, str]:
    return {
        EXTERNAL: "1", "CATERVA2_URL": stack.url, "CATERVA2_USERNAME": USER,
        "CATERVA2_PASSWORD": WORD,
    }  # fmt: skip


def test_services_that_run_are_tested(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if "CATERVA2" in name]:
        monkeypatch.delenv(name)
    given = "-m", "caterva2.tests", "-q"
    done = run(PYTHON, *given, cwd=tmp_path, timeout=110, **external(stack))
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed, 2 skipped", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 40


@pytest.mark.slow
def test_wrong_values_are_noticed(stack: Stack, tmp_path: Path) -> None:
    root = tmp_path / "wrong"
    (root / "dir2").mkdir(parents=True)
    blosc2.asarray(np.zeros((2, 3, 4, 5)), urlpath=str(root / "dir2/ds-4d.b2nd"))
    stack.start_publisher("wrong", root, "pub-wrong")
    stack.subscribe("wrong")
    done = self_test(tmp_path, "-k", "4d", CATERVA2_TEST_ROOT="wrong", **external(stack))
    assert done.returncode == 1
    assert re.search(r"FAILED .*test_values_equal_numpys", done.stdout), done.stdout


@pytest.mark.slow
def test_what_can_not_be_tested_is_said(stack: Stack, tmp_path: Path) -> None:
    done = self_test(tmp_path, CATERVA2_TEST_ROOT="@public", **external(stack))
    assert done.returncode == 1
    assert "no root with the example's datasets (of @public)" in done.stdout
    done = self_test(tmp_path, **{EXTERNAL: "1", "CATERVA2_URL": "http://127.0.0.1:1"})
    assert done.returncode == 1
    assert "Unreachable" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_services_are_tested_over_https_without_a_login(stack: Stack, tmp_path: Path) -> None:
    made, certificate = tmp_path / "made.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(made), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    child = stack.spawn_subscriber(
        "https", ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(made))
    )
    found = re.search(r"https://\S+:\d+", child.ready())
    assert found
    where = {EXTERNAL: "1", "CATERVA2_URL": found[0], "SSL_CERT_FILE": str(certificate)}
    done = self_test(tmp_path, **where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed, 4 skipped" in done.stdout, done.stdout


@pytest.mark.slow
def test_an_own_site_is_tested(tmp_path: Path) -> None:
    done = self_test(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed, 1 skipped" in done.stdout
    assert list(tmp_path.iterdir()) == []


READS = """
from tests import elsewhere
import asyncio, os, sys
import caterva2
from caterva2.cli import caterva2 as command, cat2cli

url, place = sys.argv[1:]
auth = os.environ["CATERVA2_USERNAME"], os.environ["CATERVA2_PASSWORD"]
client = caterva2.Client(url, auth=auth)
array = client.get("bar/dir1/ds-2d.b2nd")
assert array[9, 19] == 199 and array[[0, 9], ::-1].shape == (2, 20)
client.download("bar/ds-1d.b2nd", f"{place}/a.b2nd")
client.download("bar/ds-1d.b2nd", f"{place}/part.b2nd", key=slice(10, 500))
client.get("bar/dir1").download(f"{place}/dir1")
client.upload(f"{place}/a.b2nd", "@personal/a.b2nd")
client.upload(b"x" * 9_000_000, "@personal/b.bin")
client.append("@personal/a.b2nd", array[0].astype("i8"))
client.remove("@personal/a.b2nd")
client.remove("@personal/b.bin")

async def read():
    async with caterva2.AsyncClient(url) as made:
        return await (await made.get("bar/dir1/ds-2d.b2nd"))[9, 19]

assert asyncio.run(read()) == 199
for words in (
    ["roots"], ["list", "bar"], ["show", "bar/ds-1d.b2nd[:3]"], ["info", "bar/ds-1d.b2nd"],
    ["download", "bar/ds-1d.b2nd", f"{place}/b.b2nd"], ["upload", f"{place}/b.b2nd", "@personal/c"],
    ["remove", "@personal/c"], ["stats", "bar/ds-1d.b2nd"],
):
    assert cat2cli.main(["--url", url, *words]) == 0, words
assert command.main(["open", "--url", url, "--print"]) == 0
assert command.main(["settings"]) == 0
assert command.main(["doctor", "--json"]) == 0
"""


def test_clients_need_nothing_that_only_linux_has(stack: Stack, tmp_path: Path) -> None:
    place = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READS, stack.url, str(tmp_path)],
        cwd=tmp_path, env=os.environ | external(stack) | {"PYTHONPATH": str(place)},
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_without_pytest_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys, runpy; sys.modules['pytest'] = None\n"
    program += "runpy.run_module('caterva2.tests', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "caterva2.tests: pytest is not installed: pip install 'caterva2[tests]', or "
        "'caterva2[services]' and pytest\n"
    )
