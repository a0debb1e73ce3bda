"""Limits of broker, publisher and subscriber, and of what they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from caterva2.limits.constants import (
    DEADLINE_MAX,
    KIB,
    MIB,
    SNAPSHOT_ROOTS,
)
from caterva2.limits.ranges import Bytes, Range


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Requests over ZeroMQ, at either end."""

    credit: Annotated[int, Range(1, 1024)] = 16
    """Requests that a requester may have in flight with one publisher."""
    data_hwm: int = 256
    """Frames (four a message) queued for one peer of the data sockets, beside PEER_BYTES."""
    control_hwm: int = 10_000
    """Messages queued for one peer of the control and announcement sockets."""
    first_byte: Annotated[float, Range(0.01, DEADLINE_MAX)] = 5.0
    """Until the first reply, and between two replies, of a request."""
    request_deadline: Annotated[float, Range(0.01, DEADLINE_MAX)] = 30.0
    """All of one request with its retries, where the caller names no deadline."""
    slowest: Bytes = 128 * KIB
    """Bytes a second that a link must carry: limits are that much longer for what is large."""
    retries: Annotated[int, Range(0, 100)] = 3
    backoff: Annotated[float, Range(0.001, 60.0)] = 0.1
    """Base of the full-jitter pause before a retry; doubles each time."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The broker."""

    roots: int = 100_000
    """Names of roots that a broker ever granted: it keeps the fence of each."""
    address_roots: int = 1000
    """New names of these that one address (of IPv6, one network of 64 bits) may register while the
    broker runs, so that no address can use all names up."""
    topics: int = 20_000
    """Topics that one connection may subscribe to: a subscriber has one for each root."""
    lease_ttl: Annotated[float, Range(0.1, 3600.0)] = 10.0
    beat: Annotated[float, Range(0.01, 3600.0)] = 1.0
    snapshot_page: Annotated[int, Range(1, SNAPSHOT_ROOTS)] = SNAPSHOT_ROOTS
    """Roots of one part of a snapshot."""


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """A publisher and its peers."""

    all_bytes: Bytes = 256 * MIB
    """Payload that a publisher holds for all its peers together."""
    peer_bytes: Bytes = 8 * MIB
    """Payload that a publisher holds for one peer that has not taken it yet."""
    share_bytes: Bytes = 32 * MIB
    """That for all connections of a key's holder, or of an address where there are no keys:
    several subscribers may be there."""
    all_jobs: int = 256
    """Requests that a publisher works on or holds at once, all peers together."""
    peer_jobs: int = 32
    """Requests of one peer that a publisher holds at once: twice a requester's credit."""
    share_jobs: int = 128
    """That for all connections of a key's holder, or of an address."""
    idle: Annotated[float, Range(0.01, DEADLINE_MAX)] = 30.0
    """Until a reader that takes nothing of what waits for it loses its requests."""
    reply_bytes: Bytes = 2 * MIB
    """Payload at which a publisher closes a reply and starts the next; subscribers take 4 MiB
    beside a chunk."""
    request_bytes: Bytes = 64 * MIB
    """Decompressed bytes that one request of a peer may name, or one chunk: it is held a reply at
    a time, so this only keeps a request from taking long."""
    infos_bytes: Annotated[int, Range(KIB, 768 * KIB, size=True)] = 768 * KIB
    """Estimated size at which a publisher closes a reply with descriptions."""
    infos_time: float = 1.0
    """Time after which it does so, since each may take a while."""
    catalog_page: Annotated[int, Range(1, 800)] = 800
    """Entries of one catalog reply: with the longest paths it stays under HEADER_BYTES."""
    catalog_history: int = 10_000
    """Changes that are kept; a subscriber that missed more gets the whole catalog."""
    remember: float = 300.0
    """Between two times that a source keeps on disk what it found out."""
    warm_up: float = 0.5
    """Until modules for reading are loaded: by then the first listing has been sent."""
    workers: int = 4
    """Threads that read the source."""
    full_scan: float = 30.0
    """Between two scans of a whole directory, since a watch may miss a change."""
    poll: float = 5.0
    """Between two scans of a whole directory while its changes can't be watched."""
    linked_directories: int = 10_000
    """Directories that one scan enters through links."""
    open_frames: int = 128
    """Frames of a directory that stay open; the least recently read are closed."""
    kept_frames: Bytes = 16 * MIB
    """Headers and trailers of frames that are kept, so that these are described without being
    opened; about 250 bytes each."""
    file_datasets: int = 2_000_000
    """Datasets in the files of a root together, such as HDF5: a file with more is a file only."""
    listed_objects: int = 1_000_000
    """Objects of a bucket or web server that one scan lists; each takes some 500 bytes."""
    object_timeout: float = 10.0
    """One request to such a store; all of its retries may take twice as long."""
    object_retries: Annotated[int, Range(0, 100)] = 3
    """Times that such a request is repeated."""
    converted_bytes: Bytes = 32 * MIB
    """Converted chunks that are kept, since several subscribers may ask for them."""
    text_items: int = 4_000_000
    """Items of an HDF5 dataset with text of variable length: all are looked at for the longest."""
    text_bytes: Bytes = 256 * MIB
    """Bytes of all of that text."""
    text_time: float = 3.0
    """Until that is given up; a dataset that exceeds one of the three can't be read."""


@dataclass(frozen=True, slots=True)
class IsolationLimits:
    """A process in which a library reads a file that it may crash or hang on."""

    isolated_memory: Bytes = 8 * 1024 * MIB
    """Address space of the process: a chunk of CHUNK_BYTES takes four times as much."""
    call: float = 10.0
    """Until the process has answered one call, or gone on with a scan; then it is ended."""
    scan: float = 900.0
    """All of one scan."""
    start: float = 60.0
    """Until the process has loaded its libraries."""
    calls: Annotated[int, Range(1, 64)] = 4
    """Calls that the process works on at once."""
    open_files: Annotated[int, Range(1, 10_000)] = 32
    """Files of a directory that the process keeps open; the least recently read are closed."""
    retry: float = 30.0
    """Until what ended the process is tried again though the file is the same one; doubled each
    time."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Storage of replicas, and reading values out of them."""

    quota_high: Annotated[int, Range(1, 100)] = 100
    """Percent of the quota above which replicas are evicted; what can't be may take all of it."""
    quota_low: Annotated[int, Range(1, 100)] = 90
    """Percent of it down to which is evicted, so that not each chunk evicts."""
    overlay_bytes: Bytes = 64 * MIB
    """Chunks held in memory while the disk takes none."""
    parts_bytes: Bytes = 32 * MIB
    """Blocks held in memory of chunks of which only some were fetched."""
    open_replicas: int = 160
    """Replicas without a reader whose files are kept open."""
    handles: Annotated[int, Range(1, 10_000)] = 32
    """Open Blosc2 handles per reading thread."""
    decode_step: Bytes = 8 * MIB
    """Decompressed bytes of the chunks that are decoded in one step."""
    decode_chunks: int = 500
    """Chunks that are decoded in one step, however small they are."""
    output_chunks: int = 1_000_000
    """Chunks that one slice's answer may touch; whole datasets are not counted."""
    nonblocking_bytes: Bytes = 128 * KIB
    """Decompressed bytes of blocks up to which these are decoded at once, on an event loop."""
    nonblocking_blocks: int = 16
    """Number of such blocks."""
    nonblocking_map: int = 512
    """Blocks of a chunk up to which looking where they are takes but a moment."""
    nonblocking_maps: int = 4096
    """Chunks of which that is remembered."""


@dataclass(frozen=True, slots=True)
class SubscriberLimits:
    """Fetching, prefetching and events of a subscriber."""

    descriptions: int = 10_000
    """Descriptions of datasets held in memory for each root."""
    search_bytes: Bytes = 64 * MIB
    """Memory for dtypes, shapes and attributes that searches need, for each root."""
    connections: Annotated[int, Range(1, 1000)] = 64
    """Connections to publishers that stay open, however many roots there are."""
    upstream_connections: Annotated[int, Range(1, 100)] = 8
    """Connections to another subscriber whose roots are taken; that of its events is one."""
    upstream_roots: int = 10_000
    """Roots of that subscriber."""
    syncs: Annotated[int, Range(1, 1000)] = 32
    """Catalogs that are brought in step at once."""
    catalog_entries: int = 2_000_000
    """Datasets of a root."""
    catalog_bytes: Bytes = 256 * MIB
    """Characters of their paths and etags together."""
    catalog_deadline: float = 600.0
    """Until all pages of a catalog have arrived."""
    catalog_start: float = 30.0
    """Seconds for a catalog whatever its size, as for one request; larger ones have more."""
    catalog_rate: Bytes = 4 * KIB
    """Characters of paths and etags for each further second of it."""
    catalog_turn: float = 60.0
    """As CATALOG_DEADLINE, for a catalog that another provider of the root may send, too."""
    ensure_window: int = 20_000
    """Chunks that a reader waits for at once: counting them must not hold up the event loop."""
    large_chunk: Bytes = 128 * KIB
    """Stored bytes from which on a chunk may be fetched in blocks: less is not worth it."""
    round_trip_bytes: Bytes = 256 * KIB
    """What one more request costs, as bytes that a link carries meanwhile."""
    plain_items: int = 2**16
    """Positions of an axis up to which the blocks that a selection touches are looked for."""
    readahead_bytes: Bytes = 8 * MIB
    """Stored bytes that are fetched ahead of one reader at most; a larger chunk never is."""
    readahead_least: Bytes = 256 * KIB
    """Stored bytes that are fetched first ahead of a reader who is seen to read in order."""
    readaheads: Annotated[int, Range(0, 1000)] = 4
    """Fetches ahead of readers that are under way at once, all datasets together."""
    event_listeners: int = 100
    """Clients that listen to events."""
    event_queue: int = 1000
    """Events that wait for one listener."""
    anonymous_prefetches: int = 8
    """Of the prefetch jobs, those of readers without login, where there are accounts."""
    prefetch_jobs: int = 32
    """Prefetches that have not ended, and as many that have and are still remembered."""
    prefetch_failures: Annotated[int, Range(0, 10_000)] = 20
    """Datasets that a prefetch names of those that it could not have."""
    prefetch_at_once: int = 16
    """Datasets of a prefetch that are fetched at once, to share round trips."""
    prefetch_at_once_bytes: Bytes = 4 * MIB
    """Stored bytes of these: a larger dataset is fetched alone."""
    prefetch_stalled: float = 600.0
    """Until a prefetch fails that makes no progress since its publisher is away."""
    prefetch_window: Bytes = 32 * MIB
    """Decompressed bytes that a prefetch waits for at once."""
