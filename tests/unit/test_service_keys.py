"""Keys of services: their files, and what `cat2keys` makes, admits, revokes and checks"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caterva2.cli.cat2keys import main
from caterva2.errors import StartError
from caterva2.names import RootName
from caterva2.publisher.lease import LEASE_FILE
from caterva2.signing import keys as signing
from caterva2.wire.auth import keys

ROLE = ("read", "climate", "lab-*")


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = keys.read_or_make(path)
    assert keys.read_or_make(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(made.secret) == 32
    assert made.secret.hex() not in f"{made!r} {made}"
    assert json.loads(path.read_text())["public"] == made.public
    assert keys.make() != keys.make()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o611])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keys.read_or_make(path)
    path.chmod(mode)
    with pytest.raises(StartError, match=f"has mode {mode:04o}.*chmod 600"):
        keys.read_or_make(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is damaged"), ("{}", "is damaged"), ("[1]", "is damaged"),
        ('{"public": "00", "secret": "11"}', "is damaged"),
        ('{"format": 2}', "has format 2"),
    ],
)  # fmt: skip
def test_a_damaged_key_is_never_replaced(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StartError, match=why):
        keys.read_or_make(path)
    assert path.read_text() == content


def test_the_halves_of_a_key_have_to_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "key"
    pair, other = keys.make(), keys.make()
    keys.write(path, keys.Keypair(other.public, pair.secret))
    with pytest.raises(StartError, match="is damaged"):
        keys.read(path)


def test_a_key_is_something_else_than_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"is not a file|Is a directory"):
        keys.read(tmp_path)


def test_keys_are_made_admitted_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bro, sub = str(tmp_path / "bro"), str(tmp_path / "sub")
    assert main(["new", bro, sub]) == 0
    made = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert main(["show", bro]) == 0
    assert capsys.readouterr().out == f"{bro} {made[bro]}\n"
    assert main(["allow", bro, "site-b", made[sub], *ROLE]) == 0
    assert main(["allow", bro, "broker", bro, "both", "*"]) == 0
    assert main(["list", bro]) == 0
    shown = [f"broker {made[bro]} both *", f"site-b {made[sub]} read climate,lab-*"]
    assert capsys.readouterr().out.splitlines() == shown
    assert main(["check", bro, sub]) == 0
    assert f"{bro}/allowed: 2 keys" in capsys.readouterr().out
    assert main(["revoke", bro, "site-b"]) == 0
    assert main(["revoke", f"{bro}/allowed", made[bro]]) == 0
    assert main(["list", bro]) == 0
    assert "site-b" not in capsys.readouterr().out.splitlines()[-1]


def test_another_key_takes_the_place_of_one_that_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = keys.read_or_make(tmp_path / "key")
    assert main(["new", str(tmp_path)]) == 2
    assert "--replace makes another one" in capsys.readouterr().err
    assert main(["new", "--replace", str(tmp_path)]) == 0
    second = keys.read(tmp_path / "key")
    assert second is not None
    assert capsys.readouterr().out == f"{tmp_path} {second.public}\n"
    assert keys.read(tmp_path / "key.old") == first != second


def test_a_key_that_can_not_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keys.read_or_make(tmp_path / "key")
    written = keys.write

    def fails(path: Path, pair: keys.Keypair) -> None:
        if path.name == "key":
            raise OSError(28, "No space left on device")
        written(path, pair)

    monkeypatch.setattr(keys, "write", fails)
    assert main(["new", "--replace", str(tmp_path)]) == 1
    assert keys.read(tmp_path / "key") == first


def test_a_list_that_is_a_link_is_changed_for_all_that_follow_it(tmp_path: Path) -> None:
    for name in ("bro", "pub"):
        (tmp_path / name).mkdir()
    assert main(["allow", str(tmp_path / "bro"), "bob", "a" * 64, "read", "*"]) == 0
    (tmp_path / "pub" / "allowed").symlink_to("../bro/allowed")
    assert main(["revoke", str(tmp_path / "pub"), "bob"]) == 0
    assert "bob" not in (tmp_path / "bro" / "allowed").read_text()
    assert (tmp_path / "pub" / "allowed").is_symlink()


def test_an_invitation_holds_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = keys.read_or_make(tmp_path / "key")
    assert main(["invite", str(tmp_path), "--broker", "data.example:8000"]) == 0
    shown = capsys.readouterr().out
    assert shown == f'broker = "data.example:8000"\nbroker_key = "{pair.public}"\n'
    assert main(["invite", str(tmp_path), "--broker", "0.0.0.0:8000"]) == 2
    assert "name one that others reach" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "why"),
    [
        (("show", "DIR"), 1, "has no key: cat2keys new"),
        (("list", "DIR"), 1, "does not exist"),
        (("revoke", "DIR", "bob"), 1, "bob is neither a name nor a key"),
        (("allow", "DIR", "bob", "12", "read", "*"), 1, "has no key"),
        (("allow", "DIR", "b,b", "a" * 64, "read", "*"), 2, "is not a name"),
        (("allow", "DIR", "bob", "a" * 64, "read", "a b"), 2, "words"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], code: int, why: str
) -> None:
    given = [str(tmp_path) if word == "DIR" else word for word in line]
    assert main(given) == code
    said = capsys.readouterr().err
    assert said.startswith("cat2keys: ")
    assert said.count("\n") == 1
    assert why in said


def test_a_check_names_all_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.read_or_make(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    (tmp_path / "allowed").write_text("x y read *\n")
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "has mode 0644" in said
    assert "line 1: 'y' is not a public key" in said


def test_a_signing_key_is_shown_and_replaced_by_one_that_it_endorses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pub = str(tmp_path / "pub")
    assert main(["show", "--signing", pub]) == 1
    assert main(["new", "--signing", pub]) == main(["show", "--signing", pub]) == 0
    first, shown = capsys.readouterr().out.split()[1::2]
    assert first == shown
    assert main(["new", "--signing", pub]) == 2
    assert main(["new", "--signing", "--replace", pub]) == 2
    assert "say by --root" in capsys.readouterr().err
    assert main(["new", "--signing", "--replace", "--root", "foo", pub]) == 0
    second = capsys.readouterr().out.split()[1]
    found = signing.read(tmp_path / "pub" / signing.FILE)
    assert found is not None
    assert found.public == second != first
    assert signing.endorsed(RootName("foo"), frozenset({first}), found.signers) == {first, second}
    (tmp_path / "pub" / LEASE_FILE).write_text('{"root": "bar"}')  # the key is also of another root
    assert main(["new", "--signing", "--replace", "--root", "foo", pub]) == 2
    assert "has root bar" in capsys.readouterr().err
    assert main(["new", "--signing", "--replace", pub]) == 0
    found, third = signing.read(tmp_path / "pub" / signing.FILE), capsys.readouterr().out.split()[1]
    assert found is not None
    assert signing.endorsed(RootName("bar"), frozenset({second}), found.signers) == {second, third}
    assert main(["new", pub]) == main(["check", pub]) == 0
    assert f"signing-key: {third}" in capsys.readouterr().out
