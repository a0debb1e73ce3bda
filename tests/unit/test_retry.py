"""Reads that start over when the version changed under them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from caterva2.errors import Busy, NotFound, StaleVersion
from caterva2.runtime import retry


class Read:
    """A read that finds the version changed some times before it succeeds."""

    def __init__(self, failures: int, error: Callable[[], Exception] | None = None) -> None:
        self.failures = failures
        self.tries = 0
        self._error = error or (lambda: StaleVersion(f"try {self.tries}"))

    def __call__(self) -> int:
        self.tries += 1
        if self.tries <= self.failures:
            raise self._error()
        return self.tries


def retried(work: Callable[[], int], **options: Any) -> int:
    return retry.retry_stale(work, **options)


def retried_async(work: Callable[[], int], **options: Any) -> int:
    async def awaited() -> int:
        return work()

    return asyncio.run(retry.retry_stale_async(awaited, **options))


both = pytest.mark.parametrize("do", [retried, retried_async])


@both
def test_a_stale_version_is_tried_again(do: Callable[..., int]) -> None:
    assert do(Read(retry.TRIES - 1)) == retry.TRIES


@both
def test_the_last_error_is_raised_after_the_last_try(do: Callable[..., int]) -> None:
    read = Read(99)
    with pytest.raises(StaleVersion, match=f"try {retry.TRIES}"):
        do(read)
    assert read.tries == retry.TRIES


@both
def test_another_error_is_raised_after_the_last_try_if_that_is_asked_for(
    do: Callable[..., int],
) -> None:
    read = Read(99)
    with pytest.raises(Busy, match="again and again") as raised:
        do(read, exhausted=lambda: Busy("it changes again and again"), tries=2)
    assert read.tries == 2
    assert raised.value.__context__ is None  # the stale error would hold what its try had read


@both
def test_any_other_error_ends_it_at_once(do: Callable[..., int]) -> None:
    read = Read(99, lambda: NotFound("gone"))
    with pytest.raises(NotFound):
        do(read, exhausted=lambda: Busy("not raised"))
    assert read.tries == 1


@both
def test_the_caller_may_say_which_errors_mean_a_stale_version(do: Callable[..., int]) -> None:
    read = Read(1, lambda: NotFound("gone"))
    assert do(read, is_stale=lambda error: isinstance(error, NotFound)) == 2


@both
def test_nothing_of_an_earlier_try_is_kept(do: Callable[..., int]) -> None:
    class Buffer:
        """What a try holds."""

    held: list[weakref.ref[Buffer]] = []
    gc.disable()
    try:

        def work() -> int:
            assert all(ref() is None for ref in held)
            buffer = Buffer()
            held.append(weakref.ref(buffer))
            if len(held) < 3:
                raise StaleVersion("changed")
            return len(held)

        assert do(work) == 3
    finally:
        gc.enable()


def test_the_second_try_follows_at_once_and_later_ones_after_a_jittered_pause() -> None:
    assert retry._pause(0) == 0
    pauses = {retry._pause(2) for _ in range(20)}
    assert len(pauses) > 10
    assert all(0 <= pause <= 4 * retry.PAUSE for pause in pauses)
