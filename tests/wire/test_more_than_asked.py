"""A publisher that sends more than it was asked for"""

from __future__ import annotations

from pathlib import Path

import blosc2
import pytest
from dataserver import VALUES
from peers import Peer, Watched, pong, refusal
from wiretools import wait_until, zmq_context

from caterva2.cache.store import Store
from caterva2.errors import BadMessage, Busy
from caterva2.frames.chunk import MOST_OVERHEAD
from caterva2.names import RootName
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.fetch.block_call import BlocksCall
from caterva2.subscriber.fetch.calls import BytesCall, ChunksCall
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.wire import codec
from caterva2.wire import messages as m


class Ignored:
    """Takes the reports of calls."""

    def arrived(self, _keys: object) -> None: ...

    def ended(self, _call: object, _error: object) -> None: ...


@pytest.mark.parametrize("sizes", [[101], [50, 51], [30, 30, 41], [0, 2**20]])
@pytest.mark.parametrize("busy", [False, True], ids=["an answer", "an error"])
def test_more_payload_than_asked_for_fails_the_call_which_is_not_sent_again(
    sizes: list[int], busy: bool
) -> None:
    asked: list[int] = []
    cancelled: list[int] = []

    def answer(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        try:
            request = codec.control_requests(frames)
        except BadMessage:
            cancelled.append(codec.data_requests(frames).id)
            return []
        asked.append(request.id)
        last = refusal(request, Busy("wait")) if busy else pong(request)
        replies = [pong(request)] * (len(sizes) - 1) + [last]
        return [
            [*map(bytes, codec.encode(reply, [bytes(size)]))]
            for reply, size in zip(replies, sizes, strict=True)
        ]

    with zmq_context() as context, Peer(context, answer) as peer:
        call = Watched(replies=len(sizes) + 1)
        call.payload_most = 100
        peer.requester.submit(call)
        wait_until(lambda: bool(call.errors))
        assert isinstance(call.errors[0], BadMessage)
        assert "at most 100 were asked for" in str(call.errors[0])
        assert len(call.replies) == len(sizes) - 1
        assert peer.requester.up  # the connection goes on
        other = Watched()
        other.payload_most = 2**21
        peer.requester.submit(other)
        wait_until(lambda: len(asked) > 1)
        assert asked[0] == call.ids[-1] < other.ids[0]
        assert cancelled == ([] if busy else asked[:1])


def test_an_answer_may_be_as_large_as_what_is_asked_for(tmp_path: Path) -> None:
    source, store = MemorySource(), Store(tmp_path)
    frame = blosc2.asarray(VALUES, chunks=(8, 50), blocks=(4, 25)).to_cframe()
    array = source.info(source.put("a.b2nd", frame).path)
    file = source.info(source.put("f.bin", bytes(1_000_000)).path)
    try:
        given = Ignored(), Traffic()
        replica = store.replica(RootName("foo"), array)
        chunk = 8 * 50 * 8 + MOST_OVERHEAD
        assert ChunksCall(replica, [0, 3], *given).payload_most == 2 * chunk
        # Each may turn out to be a whole chunk.
        assert BlocksCall(replica, [(0, 0), (0, 1), (2, 1)], *given).payload_most == 2 * chunk
        call = BytesCall(store.replica(RootName("foo"), file), [0], *given)
        request = call.message(1)
        assert isinstance(request, m.BytesRequest)
        assert call.payload_most == request.stop - request.start == min(file.chunksize, 1_000_000)
    finally:
        store.close()
        source.close()
