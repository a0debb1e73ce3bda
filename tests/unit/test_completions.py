"""Completions for shells: those of the parsers, and what bash makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from caterva2.cli import caterva2 as command
from caterva2.cli.documents import completions

PLACE = Path(__file__).parents[2] / "conf" / "completions"


@pytest.mark.parametrize("shell", completions.SHELLS)
def test_they_are_up_to_date(shell: str) -> None:
    """If not: python -m caterva2.cli.documents."""
    for name in completions.COMMANDS:
        kept = (PLACE / shell / completions.SHELLS[shell].format(name)).read_text()
        made = completions.make(name, shell)
        assert set(re.findall(r"--?[\w-]+", kept)) == set(re.findall(r"--?[\w-]+", made)), name


def completed(*words: str, cwd: Path) -> list[str]:
    """What bash offers for the last of some words."""
    function = f"_shtab_{words[0]}"
    line = " ".join(map(repr, words))
    script = f"""
source {PLACE}/bash/{words[0]}
COMP_WORDS=({line}) COMP_CWORD={len(words) - 1} COMP_LINE={" ".join(words)!r}
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "climate").mkdir()
    assert completed("caterva2", "se", cwd=tmp_path) == ["serve", "settings"]
    assert completed("caterva2", "serve", "--s", cwd=tmp_path) == ["--state"]
    assert completed("caterva2", "serve", "cli", cwd=tmp_path) == ["climate"]
    assert completed("cat2pub", "--watch", "p", cwd=tmp_path) == ["poll"]


def test_the_command_prints_all_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in completions.SHELLS:
        assert command.main(["completion", shell]) == 0
        printed = capsys.readouterr().out
        assert all(name in printed for name in completions.COMMANDS)
