"""The table of a requester's calls, with a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from caterva2.errors import (
    Busy,
    CatervaError,
    Damaged,
    DeadlineExceeded,
    NotFound,
    SlowDown,
    StaleVersion,
)
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.wire.calls import IDLE, Call, CallTable, Single
from caterva2.wire.messages import InfoRequest, Ping, Pong, Request

WIRE = DEFAULTS.wire


class Asking(Call[Pong]):
    def __init__(self, deadline: float = 100.0, extra_patience: float = 0.0) -> None:
        self.deadline = deadline
        self.extra_patience = extra_patience

    def message(self, request_id: int) -> Request | None:
        return Ping(id=request_id)

    def on_reply(self, reply: Pong, payload: Sequence[memoryview]) -> bool:
        return True

    def on_error(self, error: CatervaError) -> None:
        raise AssertionError("the table tells nobody itself")


@pytest.fixture
def table() -> CallTable[Pong]:
    return CallTable(replace(WIRE, credit=2))


def _submit(table: CallTable[Pong], count: int, deadline: float = 100.0) -> list[Asking]:
    calls = [Asking(deadline) for _ in range(count)]
    for call in calls:
        table.submit(call)
    return calls


def _send(table: CallTable[Pong], now: float) -> dict[int, Call[Pong]]:
    return dict(table.due(now))


def _later(table: CallTable[Pong], now: float) -> float:
    """A time at which every pause before a retry is over."""
    return now + WIRE.backoff * 2 ** (WIRE.retries + 1)


def test_no_more_calls_are_in_flight_than_there_is_credit_for(table: CallTable[Pong]) -> None:
    calls = _submit(table, 3)
    sent = _send(table, 0)
    assert list(sent.values()) == calls[:2]
    assert _send(table, 0) == {}
    table.drop(min(sent))
    assert list(_send(table, 0).values()) == calls[2:]


def test_each_sending_has_a_new_id(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    (first,) = _send(table, 0)
    table.failed(first, Busy("full"), 0)
    (second,) = _send(table, _later(table, 0))
    assert second != first


def test_a_call_that_the_socket_did_not_take_is_first_again(table: CallTable[Pong]) -> None:
    calls = _submit(table, 3)
    sent = iter(table.due(0))
    request_id, call = next(sent)
    table.unsent(request_id)
    sent.close()  # type: ignore[attr-defined]
    assert call is calls[0]
    assert len(table) == 3
    assert list(_send(table, 0).values()) == calls[:2]


@pytest.mark.parametrize("error", [Busy("b"), SlowDown("s"), Damaged("d")])
def test_transient_errors_are_tried_again(table: CallTable[Pong], error: CatervaError) -> None:
    calls = _submit(table, 1)
    (request_id,) = _send(table, 0)
    assert table.failed(request_id, error, 0) is None
    assert list(_send(table, _later(table, 0)).values()) == calls


@pytest.mark.parametrize("error", [NotFound("n"), StaleVersion("s")])
def test_permanent_errors_are_told_at_once(table: CallTable[Pong], error: CatervaError) -> None:
    _submit(table, 1)
    (request_id,) = _send(table, 0)
    assert table.failed(request_id, error, 0) is error
    assert len(table) == 0


def test_a_retry_waits_as_long_as_the_other_side_asks(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    (request_id,) = _send(table, 0)
    table.failed(request_id, Busy("full", after_ms=7000), 10.0)
    assert _send(table, 16.999) == {}
    assert len(_send(table, 17.0)) == 1


def test_a_call_is_tried_a_few_times_only(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    now = 0.0
    for _ in range(WIRE.retries):
        (request_id,) = _send(table, now)
        assert table.failed(request_id, Busy("full"), now) is None
        now = _later(table, now)
    (request_id,) = _send(table, now)
    assert isinstance(table.failed(request_id, Busy("full"), now), Busy)
    assert len(table) == 0


def test_others_pass_a_call_that_waits_for_its_retry() -> None:
    table: CallTable[Pong] = CallTable(replace(WIRE, credit=1))
    _submit(table, 1)
    (request_id,) = _send(table, 0)
    table.failed(request_id, Busy("full", after_ms=9000), 0)
    (other,) = _submit(table, 1)
    assert list(_send(table, 0).values()) == [other]


def test_silence_sends_everything_in_flight_again_on_a_new_socket(table: CallTable[Pong]) -> None:
    calls = _submit(table, 2)
    first = _send(table, 0)
    lost, replace = table.expire(WIRE.first_byte)
    assert (lost, replace) == ([], True)
    again = _send(table, _later(table, WIRE.first_byte))
    assert set(again.values()) == set(calls)
    assert not again.keys() & first.keys()


def test_a_reply_ends_the_silence(table: CallTable[Pong]) -> None:
    (call,) = _submit(table, 1)
    (request_id,) = _send(table, 0)
    assert table.get(request_id, 4.0) is call
    assert table.expire(WIRE.first_byte) == ([], False)
    assert table.expire(4.0 + WIRE.first_byte)[1] is True


def test_a_peer_that_stays_silent_is_given_up(table: CallTable[Pong]) -> None:
    (call,) = _submit(table, 1, deadline=1e9)
    now, lost = 0.0, []
    for _ in range(WIRE.retries + 1):
        assert lost == []
        now = _later(table, now)
        assert len(_send(table, now)) == 1
        now += WIRE.first_byte + 0.1
        lost, _ = table.expire(now)
    assert [(c, type(e), str(e)) for c, e in lost] == [
        (call, DeadlineExceeded, "no answer after several tries")
    ]
    assert len(table) == 0


def test_a_lost_connection_costs_the_usual_pause_only(table: CallTable[Pong]) -> None:
    calls = _submit(table, 2)
    _send(table, 0)
    assert table.restart(5.0) == []
    assert list(_send(table, 5.0 + WIRE.backoff * 2).values()) == calls


def test_silence_hides_no_deadline(table: CallTable[Pong]) -> None:
    late, _ = _submit(table, 1, deadline=WIRE.first_byte)[0], _submit(table, 1)
    _send(table, 0)
    lost, silent = table.expire(WIRE.first_byte)
    assert ([call for call, _ in lost], silent) == ([late], True)
    assert len(table) == 1


def test_a_large_answer_may_take_longer(table: CallTable[Pong]) -> None:
    table.submit(Asking(extra_patience=10.0))
    _send(table, 0)
    assert table.expire(WIRE.first_byte + 9.9) == ([], False)
    assert table.expire(WIRE.first_byte + 10.0)[1] is True


def test_progress_makes_a_call_patient_again(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    now = 0.0
    for _ in range(3 * WIRE.retries):
        (request_id,) = _send(table, now)
        table.progress(request_id)
        assert table.failed(request_id, Busy("full"), now) is None
        now = _later(table, now)
    table.progress(request_id)  # of a call that is not under way any more
    table.drop(request_id)


def test_progress_gives_all_tries_back(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    now = 0.0
    for tries in range(WIRE.retries + 1):
        (request_id,) = _send(table, now)
        if not tries:
            table.progress(request_id)
        failed = table.failed(request_id, Busy("full"), now)
        assert (failed is None) == (tries < WIRE.retries)
        now = _later(table, now)


def test_what_waits_for_credit_wakes_nobody_up(table: CallTable[Pong]) -> None:
    _submit(table, 3)
    _send(table, 0)
    assert table.wait(0) == 1.0


def test_a_call_with_one_reply_is_about_the_path_of_its_request() -> None:
    assert Single[Pong](InfoRequest(path=DatasetPath("a/b")), 1.0).subject == "a/b"
    assert Single[Pong](Ping(), 1.0).subject == ""


def test_a_late_reply_belongs_to_nobody(table: CallTable[Pong]) -> None:
    _submit(table, 1)
    (request_id,) = _send(table, 0)
    table.expire(WIRE.first_byte)
    assert table.get(request_id, WIRE.first_byte) is None


@pytest.mark.parametrize(
    ("sent", "why"),
    [(True, "no answer before the deadline"), (False, "not reached before the deadline")],
)
def test_a_deadline_ends_a_call(table: CallTable[Pong], sent: bool, why: str) -> None:
    (call,) = _submit(table, 1, deadline=3.0)
    if sent:
        _send(table, 0)
    assert table.expire(2.9) == ([], False)
    lost, replace = table.expire(3.0)
    assert [(c, type(e), str(e)) for c, e in lost] == [(call, DeadlineExceeded, why)]
    assert replace is False
    assert len(table) == 0


def test_cancel_tells_the_id_of_a_call_in_flight(table: CallTable[Pong]) -> None:
    calls = _submit(table, 3)
    sent = _send(table, 0)
    assert table.cancel(calls[1]) == next(n for n, c in sent.items() if c is calls[1])
    assert table.cancel(calls[2]) is None
    assert table.cancel(calls[2]) is None
    assert len(table) == 1
    assert _send(table, 0) == {}


def test_fail_all_gives_every_call_back_once(table: CallTable[Pong]) -> None:
    calls = _submit(table, 4)
    _send(table, 0)
    assert set(table.fail_all()) == set(calls)
    assert len(table) == 0
    assert table.fail_all() == []


def test_wait_is_until_the_next_thing_is_due(table: CallTable[Pong]) -> None:
    assert table.wait(0) == IDLE
    _submit(table, 1, deadline=5.4)
    _send(table, 0)
    assert table.wait(0) == 1.0
    assert table.wait(4.5) == pytest.approx(0.5)
    table.get(1, 4.5)
    assert table.wait(5.0) == pytest.approx(0.4)
    assert table.wait(50.0) == 0.0


def test_pauses_before_retries_spread_over_all_of_a_range_that_doubles() -> None:
    """Full jitter: peers that failed together do not come back together."""
    for tries in (1, 2, 3):
        longest = WIRE.backoff * 2**tries
        pauses = [_pause(tries) / longest for _ in range(400)]
        assert max(pauses) <= 1.0
        assert [n for n in range(8) if not any(n / 8 < p <= (n + 1) / 8 for p in pauses)] == []


def _pause(tries: int) -> float:
    """The pause before the last of some retries, as `CallTable.wait` tells it."""
    table, now = CallTable[Pong](WIRE), 0.0
    _submit(table, 1)
    for _ in range(tries):
        now = _later(table, now)
        (request_id,) = _send(table, now)
        assert table.failed(request_id, Damaged("d"), now) is None
    return table.wait(now)


def test_the_reply_of_a_single_call_is_the_result_of_its_future() -> None:
    call = Single[Pong](Ping(), 1.0)
    assert call.message(7) == Ping(id=7)
    reply = Pong(id=7, binst="b")
    assert call.on_reply(reply, []) is True
    assert call.future.result(0) is reply


def test_the_error_of_a_single_call_is_raised_by_its_future() -> None:
    call, error = Single[Pong](Ping(), 1.0), Busy("b")
    call.on_error(error)
    assert call.future.exception(0) is error


def test_a_single_call_that_was_cancelled_is_not_sent_and_takes_nothing() -> None:
    for late in (
        lambda call: call.on_reply(Pong(id=1, binst="b"), []),
        lambda call: call.on_error(Busy("b")),
    ):
        call = Single[Pong](Ping(), 1.0)
        assert call.future.cancel()
        assert call.message(1) is None
        late(call)
        assert call.future.cancelled()
