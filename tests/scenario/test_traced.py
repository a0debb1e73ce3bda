"""Data that leads elsewhere, under strace: no service opens what is foreign"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests import tracing
from tests.conftest import Stack, eventually, example_root
from tests.hdf5files import write_refused
from tests.web.asking import ask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CANARY = b"nobody may read this"
ASIDE = (
    "link.txt", "link-dir/secret.txt", "etc", "store.zarr/b/secret.txt", "links.h5/external-link",
    "..%2foutside%2fsecret.txt",
)  # fmt: skip
"""Paths of what is not listed."""


def hostile(directory: Path, outside: Path) -> None:
    """Make files that lead to ``outside`` in every way that a format has."""
    secret = outside / "secret.txt"
    secret.write_bytes(CANARY)
    write_refused(directory / "links.h5", outside / "outside.h5")
    links = {"link.txt": secret, "link-dir": outside, "dev": "/dev/mem", "etc": "/etc/shadow"}
    for name, target in links.items():
        (directory / name).symlink_to(target)
    np.save(outside / "array.npy", np.arange(5))
    _zarr(directory, outside)
    (directory / "stub.b2frame").write_bytes(b"\x9e\xa8b2frame\x00" + str(secret).encode() * 20)
    (directory / "lazy.b2nd").write_bytes((example_root() / "ds-1d.b2nd").read_bytes()[:200])
    with zipfile.ZipFile(directory / "up.zip", "w") as packed:
        for name in ("../../secret.txt", str(secret), "zarr.json"):
            packed.writestr(name, "{}")
    (directory / "sparse.b2frame").mkdir()
    (directory / "sparse.b2frame" / "chunks.b2frame").symlink_to(secret)
    os.mkfifo(directory / "fifo.b2nd")


def _zarr(directory: Path, outside: Path) -> None:
    place = directory / "store.zarr"
    made = zarr.open_group(place, mode="w")
    array = made.create_array("a", data=np.arange(100), chunks=(10,))
    array[:] = np.arange(100)
    outer = made.create_array("b", data=np.arange(10), chunks=(10,))
    assert outer.shape == (10,)
    shutil.rmtree(place / "b" / "c")
    (place / "b" / "c").symlink_to(outside)
    (place / "a" / "c" / "1").unlink()
    (place / "a" / "c" / "1").symlink_to(outside / "array.npy")
    document: dict[str, Any] = json.loads((place / "a" / "zarr.json").read_text())
    document["storage_transformers"] = [{"name": "http://127.0.0.1:9/x"}]
    document["codecs"][0] = {"name": "exec", "configuration": {"command": "touch /tmp/x"}}
    for name in ("odd", "..%2f..%2fup", "file:"):
        (place / name).mkdir()
        (place / name / "zarr.json").write_text(json.dumps(document))


def test_no_data_leads_out_of_what_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is needed: apt-get install strace")
    outside, source, traces = (tmp_path / name for name in ("outside", "source", "traces"))
    for one in (outside, source, traces):
        one.mkdir()
    hostile(source, outside)
    monkeypatch.setenv(tracing.TRACES, str(traces))
    (tmp_path / "stack").mkdir()
    stack = Stack(tmp_path / "stack", tracing.spawn)
    try:
        stack.start_broker()
        stack.start_publisher("foo", source, "pub-foo")
        stack.start_publisher("h5", source / "links.h5", "pub-h5")
        stack.start_subscriber()
        read = 0
        for root in ("foo", "h5"):
            stack.subscribe(root)
            names = ask(stack, f"api/list/{root}").json
            for name in [*names, *ASIDE]:
                for call in ("info", "fetch", "download"):
                    answer = ask(stack, f"api/{call}/{root}/{name}")
                    assert CANARY not in answer.body, name
                    read += answer.status == 200
        assert read > 10
    finally:
        stack.stop_all()
    found = sorted(set(tracing.foreign(traces)))
    assert len(list(traces.glob("*.trace"))) == 4
    assert found == []


def test_what_is_foreign_is_found(tmp_path: Path) -> None:
    lines = [
        '1 openat(AT_FDCWD</x>, "a", O_RDONLY) = 3</x/outside/secret.txt>',
        '1 <... openat resumed>) = 3</etc/shadow>',
        '1 openat(AT_FDCWD</x>, "a", O_RDONLY) = 3</x/source/a>',
        '1 openat(AT_FDCWD</x>, "a", O_RDONLY) = -1 ENOENT (No such file or directory)',
        '1 connect(5<socket:[1]>, {sa_family=AF_INET, sin_port=htons(80), '
        'sin_addr=inet_addr("169.254.169.254")}, 16) = -1 EINPROGRESS',
        '1 connect(5<socket:[1]>, {sa_family=AF_INET, sin_port=htons(80), '
        'sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        '1 execve("/bin/sh", ["sh", "-c", "x"], 0x1 /* 9 vars */) = 0',
    ]  # fmt: skip
    (tmp_path / "1.trace").write_text("\n".join(lines))
    run = ["/x", "python", "-m", "caterva2.cli.launch", "cat2pub", "foo", "/x/source"]
    (tmp_path / "1.json").write_text(json.dumps(run))
    faults = [fault.split()[:2] for _, fault in tracing.foreign(tmp_path)]
    assert faults == [
        ["file", "/x/outside/secret.txt"], ["file", "/etc/shadow"],
        ["connection", "AF_INET,"], ["process", "/bin/sh"],
    ]  # fmt: skip


def test_traced_services_end_with_the_tests_that_were_killed(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is needed: apt-get install strace")
    code = (
        "import pathlib, sys, time; from tests.tracing import spawn; free = '127.0.0.1:0';"
        "given = ['--endpoint', free, '--xsub', free, '--xpub', free, '--statedir', sys.argv[1]];"
        "made = spawn('cat2bro', given, sys.stderr.buffer, pathlib.Path(sys.argv[1]), None);"
        "print(made.stdout.readline() and made.pid, flush=True); time.sleep(600)"
    )
    env = os.environ | {tracing.TRACES: str(tmp_path)}
    run = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, env=env) as tests:
        assert tests.stdout
        broker = Path("/proc", tests.stdout.readline().decode().strip())
        assert broker.exists()
        tests.kill()
    eventually(lambda: not broker.exists())


def test_what_was_traced_before_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, fault = tmp_path / "done.json", ["cat2pub foo", "file /etc/shadow", 2]
    done.write_text(json.dumps({"a": [0, 3, []], "b": [1, 4, [fault]]}))
    assert tracing.main(["a", "b"], done) == 1
    assert capsys.readouterr().out.splitlines() == [
        "7 services traced, 1 foreign files, connections and processes",
        "     2  file /etc/shadow  of cat2pub foo  in b",
        "tests failed in b",
    ]
