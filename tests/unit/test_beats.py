"""Beats of roots at a broker: what is new is forwarded at once, the rest together"""

from __future__ import annotations

from typing import Any

import pytest

from caterva2.broker.beats import Beats
from caterva2.names import RootName
from caterva2.wire.messages import Change, RootBeat

FOO, BAR = RootName("foo"), RootName("bar")


def beat(rev: int, root: RootName = FOO, **fields: Any) -> RootBeat:
    return RootBeat(root=root, **{"inst": "i", "fence": 1, "rev": rev} | fields)


def sent(beats: Beats, *notes: RootBeat | Change) -> list[int]:
    """Return the revisions of the notes that are forwarded at once."""
    return [note.rev for note in notes if not beats.waits(note, [b"%d" % note.rev])]


def test_a_beat_that_says_nothing_new_waits_for_others() -> None:
    beats = Beats()
    assert sent(beats, beat(1), beat(1), beat(1)) == [1]
    assert sent(beats, beat(7, BAR), beat(7, BAR)) == [7]
    assert beats.take() == [[b"1"], [b"7"]]
    assert beats.take() == []


@pytest.mark.parametrize("new", [{"rev": 2}, {"fence": 2}, {"inst": "j"}])
def test_news_are_forwarded_at_once_and_leave_no_older_beat_behind(new: dict[str, Any]) -> None:
    beats = Beats()
    sent(beats, beat(1), beat(1))
    assert not beats.waits(beat(**{"rev": 1} | new), [b"news"])
    assert beats.take() == []


def test_a_change_never_waits_and_a_beat_after_it_does() -> None:
    beats = Beats()
    gone = Change.model_validate(
        {"root": "foo", "inst": "i", "fence": 1, "rev": 2, "path": "a.b2nd", "op": "delete"}
    )
    assert sent(beats, beat(1), gone, gone, beat(2)) == [1, 2, 2]
    assert beats.take() == [[b"2"]]


def test_no_beat_follows_the_end_of_a_root() -> None:
    beats = Beats()
    sent(beats, beat(1), beat(1))
    beats.forget(FOO)
    assert beats.take() == []
    assert sent(beats, beat(1)) == [1]
