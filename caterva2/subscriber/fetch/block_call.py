"""The call that fetches single blocks, and holds what arrives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from caterva2.errors import BadMessage, Damaged
from caterva2.frames import blocks
from caterva2.frames.chunk import HEADER
from caterva2.frames.raw import crc32
from caterva2.subscriber.fetch.calls import Block, FetchCall
from caterva2.wire import messages
from caterva2.wire.messages import DataReply


class BlocksCall(FetchCall[Block]):
    """Fetch single blocks of some chunks, which are held in memory.

    A chunk that can't be divided arrives as a whole, and is stored. A chunk of a former version is
    offered until blocks of it are sent: the publisher reads the whole chunk to compare it.
    """

    _ids: dict[int, tuple[int, ...]]
    """The missing blocks by the number of their chunk."""

    def _request(self, request_id: int) -> messages.BlocksRequest | None:
        if not self._missing:
            return None
        by_chunk = itertools.groupby(sorted(self._missing), lambda key: key[0])
        self._ids = {n: tuple(block for _, block in keys) for n, keys in by_chunk}
        return messages.BlocksRequest(
            id=request_id, path=self._info.path, etag=self._info.etag,
            deadline_ms=self._deadline_ms(1),  # each may turn out to be a whole chunk
            blocks=tuple(
                messages.ChunkBlocks(n=n, ids=ids, held=self._offered.get(n, b""))
                for n, ids in self._ids.items()
            ),
        )  # fmt: skip

    def on_reply(self, reply: DataReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Blocks) or len(payload) != 1:
            raise BadMessage(f"the publisher answered {reply.type} to blocks?")
        if reply.n not in self._ids:
            raise BadMessage("the publisher sent blocks that were not requested, or sent one twice")
        data = payload[0]
        if crc32(data) != reply.digest:
            raise Damaged(f"blocks of {self._info.path} were damaged in transfer")
        self._take(reply, data)
        keys = [(reply.n, block) for block in self._ids.pop(reply.n)]
        self._missing.difference_update(keys)
        self._progress.arrived(keys)
        return reply.last and self._finish()

    def _take(self, reply: messages.Blocks, data: memoryview) -> None:
        kept = not reply.ids and not data
        if kept:
            self._keep(reply.n, reply.proof)
        elif reply.ids:
            self._hold(reply, data)
            self._replica.withdraw(reply.n)
        else:
            self._replica.check(reply.n, data)
            self._prove(reply.n, data, reply.proof)
            self._add([reply.n], [len(data)], [reply.digest], data)
            self._replica.keep_proof(reply.n, reply.proof)
        whole = not kept and not reply.ids
        self._traffic.record(chunks=whole, kept=kept, blocks=len(reply.ids), size=len(data))

    def _hold(self, reply: messages.Blocks, data: memoryview) -> None:
        if reply.ids != self._ids[reply.n] or len(reply.sizes) != len(reply.ids):
            raise BadMessage("the publisher sent other blocks than were requested")
        if HEADER + sum(reply.sizes) != len(data):
            raise BadMessage("the publisher's blocks and their sizes differ")
        header = bytes(data[:HEADER])
        self._replica.check_header(reply.n, header)
        blocks.check_sizes(header, reply.ids, reply.sizes)
        ends = itertools.pairwise(itertools.accumulate(reply.sizes, initial=HEADER))
        found = {n: bytes(data[begin:end]) for n, (begin, end) in zip(reply.ids, ends, strict=True)}
        if self.checks is not None:
            parts = header, reply.ids, list(found.values())
            version = self._info.path, self._info.etag
            self.checks.blocks(version, reply.n, parts, reply.leaves, reply.proof)
        self._replica.hold_blocks(reply.n, header, found)
