"""Costs of fetching: expected sizes, time limits, and when blocks cost less than chunks."""

from __future__ import annotations

from caterva2.frames import blocks
from caterva2.frames import chunk as chunks
from caterva2.limits import DEFAULTS, SubscriberLimits, WireLimits
from caterva2.limits.constants import CHUNK_BLOCKS, DEADLINE_MAX, KIB, MIB
from caterva2.model import DatasetInfo

_SMALL_SHARE = 1 / 4
"""Share of a chunk up to which fetching only its blocks pays."""
_LARGE_SHARE = 1 / 3
"""Share of a chunk from which on the rest is fetched as well."""
_LEAST_CHUNK = 16 * KIB
"""Stored bytes up to which a chunk is fetched as a whole, with however many others."""
_REPLY_BYTES = 2 * MIB
"""Payload of one reply, as publishers cut them: silence lasts while one is on its way."""


def expected_size(info: DatasetInfo) -> int:
    """Estimate the bytes that a chunk takes on the wire."""
    if info.kind == "file":
        return info.chunksize
    return max(info.cbytes // max(info.nchunks, 1), chunks.HEADER)


def time_limits(
    info: DatasetInfo, count: int, limits: WireLimits = DEFAULTS.wire
) -> tuple[float, float]:
    """Compute the time limits of a request for some chunks.

    Returns
    -------
    tuple of float
        Seconds of silence to bear beyond the usual, and seconds for all of the request.
    """
    size = count * max(expected_size(info), info.chunksize if count == 1 else 0)
    extra = min(max(info.chunksize, _REPLY_BYTES), size) / limits.slowest
    return extra, min(limits.request_deadline + size / limits.slowest, DEADLINE_MAX)


def blocks_pay(
    info: DatasetInfo,
    new: int,
    held: int,
    fetches: int,
    limits: SubscriberLimits = DEFAULTS.subscriber,
    together: int = 1,
) -> bool:
    """Decide whether fetching some blocks of a chunk costs less than fetching the chunk.

    Parameters
    ----------
    info : DatasetInfo
    new : int
        Number of blocks to fetch.
    held : int
        Number of blocks that are held.
    fetches : int
        How often blocks of this chunk were fetched before. Each fetch costs its reader a round
        trip, so a chunk that is read again and again is better fetched as a whole.
    limits : SubscriberLimits
    together : int, optional
        Number of chunks of which blocks are fetched at once, and share a round trip.
    """
    if blocks.needs_whole_chunks(info.cparams.filters):
        return False
    stored = info.cbytes / max(info.nchunks, 1)
    count = info.chunksize // max(info.blocksize, 1)
    if stored < max(limits.large_chunk / together, _LEAST_CHUNK) or not 0 < count <= CHUNK_BLOCKS:
        return False
    share = stored / count
    spent = (held + new) * share + fetches * limits.round_trip_bytes / together
    return new * share <= _SMALL_SHARE * stored and spent <= _LARGE_SHARE * stored
