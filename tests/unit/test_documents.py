"""Documents refer to files that exist."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

from caterva2 import config
from caterva2.config.limits import load_limits
from tests import behaviours

TOP = Path(__file__).parents[2]
DOCUMENTS = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("benchmarks/*.md")])
EXAMPLES = {"skytab/__init__.py"}
"""Modules of others that the documents describe."""
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ANCHORED = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
_TARGET = re.compile(r'<a id="([\w-]+)"></a>')
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SETTINGS = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^\[([a-z]+)", re.MULTILINE)
_MODULE = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.(?:py|toml|txt))`")
_TEST = re.compile(r"`(test_\w+)`")


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        targets = [link for link in _LINK.findall(document.read_text()) if "://" not in link]
        missing = [link for link in targets if not (document.parent / link).exists()]
        assert missing == [], document


def anchors(document: Path) -> set[str]:
    """Return what a code host, and MyST as it does, makes of the headings, and other targets."""
    text = _CODE.sub("", document.read_text())
    made: Counter[str] = Counter()
    for heading in _HEADING.findall(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        made[re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")] += 1
    numbered = {f"{name}-{n}" for name, count in made.items() for n in range(1, count)}
    return {*made, *numbered, *_TARGET.findall(text)}


def test_anchors_of_links_are_those_of_headings() -> None:
    for document in DOCUMENTS:
        for link, anchor in _ANCHORED.findall(_CODE.sub("", document.read_text())):
            target = document.parent / link if link else document
            if "://" not in link and target.suffix == ".md":
                assert anchor in anchors(target), (document, link, anchor)


def test_modules_that_are_named_exist() -> None:
    for document in DOCUMENTS:
        for name in set(_MODULE.findall(document.read_text())) - EXAMPLES:
            assert (TOP / name).exists() or (TOP / "caterva2" / name).exists(), (document, name)


def test_each_attack_has_its_test() -> None:
    there = "".join(path.read_text() for path in TOP.glob("tests/**/test_*.py"))
    named = set(_TEST.findall((TOP / "docs" / "security.md").read_text()))
    assert len(named) > 25
    assert {name for name in named if f"def {name}(" not in there} == set()


def test_every_decision_is_in_the_list() -> None:
    folder = TOP / "docs" / "decisions"
    listed = set(_LINK.findall((folder / "README.md").read_text()))
    assert {path.name for path in folder.glob("[0-9]*.md")} <= listed


def test_settings_that_are_shown_are_valid(tmp_path: Path) -> None:
    """Each block of TOML is a file that its services take."""
    count = 0
    for document in DOCUMENTS:
        for text in _SETTINGS.findall(document.read_text()):
            path = tmp_path / f"{count}.toml"
            path.write_text(text)
            path.chmod(0o600)
            count += 1
            load_limits(path)
            for section in config.SECTIONS.keys() & set(_SECTION.findall(text)):
                config.load(config.SECTIONS[section], path)
    assert count > 5


def test_every_page_is_linked_from_the_readme_or_the_index_of_the_site() -> None:
    linked = set(_LINK.findall((TOP / "README.md").read_text()))
    index = (TOP / "docs" / "index.md").read_text().split()
    assert {f"docs/{path.name}" for path in TOP.glob("docs/*.md")} <= {
        *linked, *(f"docs/{name}.md" for name in index)
    }  # fmt: skip


def test_the_modules_to_be_covered_exist() -> None:
    settings = tomllib.loads((TOP / "pyproject.toml").read_text())
    for pattern in settings["tool"]["coverage"]["run"]["include"]:
        assert list(TOP.glob(pattern)), f"{pattern} is in no checkout"


def test_the_list_of_behaviours_is_current() -> None:
    written = behaviours.DOCUMENT.read_text().partition(behaviours.BEGIN)[2]
    assert written == behaviours.table(), "run python -m tests.behaviours --write"
