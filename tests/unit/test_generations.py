"""Names of the states of a catalog: what did not change since is still of that state"""

from __future__ import annotations

from caterva2.sources.catalog import Generations


def test_a_path_has_the_version_of_a_generation_until_it_changes() -> None:
    found = Generations()
    assert found.name("g1") == "g1"
    assert found.holds("g1", "g1", "a")
    found.change(["a"])
    assert not found.holds("g1", "g2", "a")
    assert found.holds("g1", "g2", "b")
    found.name("g2")
    found.change(["b"])
    assert found.holds("g2", "g3", "a")
    assert not found.holds("g2", "g3", "b")


def test_a_name_that_was_never_given_is_only_that_of_the_present_state() -> None:
    found = Generations()
    found.change(["a"])
    assert found.holds("g2", "g2", "a")
    assert not found.holds("g1", "g2", "b")


def test_a_name_stands_for_the_state_in_which_it_was_given() -> None:
    found = Generations()
    found.name("g1")
    found.change(["a"])
    assert not found.holds("g1", "g1", "a")


def test_forgotten_changes_count_as_changes_of_everything() -> None:
    found = Generations(max_names=2, max_paths=2)
    found.name("g1")
    for n in range(3):
        found.change([f"p{n}"])
    assert not found.holds("g1", "g4", "other")
    found.name("g4")
    assert found.holds("g4", "g4", "other")
    found.change(["x", "y", "z"])
    assert not found.holds("g4", "g5", "other")
    found.name("g5"), found.name("g6"), found.name("g7")
    assert not found.holds("g4", "g7", "other")
