"""Every number that bounds work, with its reason.

Constants are facts of a format or of the protocol. The frozen groups are limits of a running
service: they are handed in, and ``[limits.GROUP]`` in ``caterva2.toml`` sets them. Sizes are in
bytes, times in seconds unless the name says otherwise. A group's fields are ints that count, floats
that are seconds, or name the `Range` of values that make sense for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

KIB = 1024
MIB = 1024 * KIB

# --- names ---------------------------------------------------------------------------------
ROOT_NAME = 64
"""Characters of a root's name."""
PATH_LENGTH = 1024
"""Bytes of a dataset's path in UTF-8."""
PATH_DEPTH = 64
"""Components of a dataset's path."""

# --- arrays --------------------------------------------------------------------------------
NDIM = 16
"""B2ND_MAX_DIM of the Blosc2 library."""
CHUNK_BYTES = 2**31 - 1 - 32
"""BLOSC2_MAX_BUFFERSIZE: a chunk's decompressed size is a signed 32-bit number."""
CHUNK_COUNT = 2**22
"""Chunks of a dataset; the index of so many takes 64 MiB."""
ITEMSIZE = 64 * KIB
"""Bytes of one item, so that a dtype string can't claim gigabytes."""
DTYPE_LENGTH = 4096
"""Characters of a dtype string."""
DTYPE_FIELDS = 256
"""Fields of a structured dtype, nested ones counted."""
SELECTION_LENGTH = 8 * KIB
"""Characters of a slice string."""
INDEX_ENTRIES = 2**20
"""Numbers in the index arrays of one selection, the lists around them counted."""
INDEX_POINTS = 2**22
"""Points that index arrays name when they are broadcast; sorting them takes 40 bytes each."""

# --- frames --------------------------------------------------------------------------------
FRAME_HEADER = MIB
"""Bytes of a frame's header with its metalayers."""
FRAME_TRAILER = 16 * MIB
"""Bytes of a frame's trailer with its vlmeta."""
VLMETA_ITEMS = 1024
"""Entries of a dataset's vlmeta."""
VLMETA_BYTES = 512 * KIB
"""Bytes of a dataset's vlmeta on the wire, so that info stays within a header."""
METADATA_DEPTH = 32
"""Nesting of a metadata value."""
FILE_CHUNK = MIB
"""A plain file is cached as a byte string with chunks of this size."""

# --- the wire ------------------------------------------------------------------------------
HEADER_BYTES = MIB
"""Bytes of a message's header."""
MESSAGE_BYTES = CHUNK_BYTES + 64 * KIB
"""ZeroMQ's MAXMSGSIZE for the data socket: one raw chunk fits."""
CONTROL_BYTES = 2 * MIB
"""ZeroMQ's MAXMSGSIZE for the control and announcement sockets."""
REQUEST_CHUNKS = 1024
"""Chunks that one request may name."""
CHUNK_BLOCKS = 2**16
"""Blocks of a chunk that is transferred in blocks: the table of them takes 4 bytes each."""
REQUEST_BLOCKS = 1024
"""Blocks that one request may name, of all its chunks together."""
BLOCKS_CHUNKS = 64
"""Chunks of which one request may name blocks."""
REQUEST_BYTES = 4 * MIB
"""Decompressed bytes that a requester asks for at once, one chunk at least."""
REQUEST_INFOS = 256
"""Datasets that one request asks to describe."""
SNAPSHOT_PARTS = 100_000
"""Parts of a snapshot."""
SNAPSHOT_ROOTS = 400
"""Roots of one part of a snapshot: with the longest endpoints it stays under HEADER_BYTES."""
FENCE = 2**53
"""Grants of one root's name."""
FENCE_LEAP = 2**32
"""Above the known fence of a root, up to which a broker believes one that a publisher remembers."""

# --- times ---------------------------------------------------------------------------------
DEADLINE_MAX = 600.0
"""The longest deadline that anybody may ask for."""
SHUTDOWN = 4.0
"""Until a service that was told to end gives up waiting for its work."""

# --- the subscriber ------------------------------------------------------------------------
READ_PIECE = MIB
"""A stored file is sent in pieces of this size."""

# --- expressions ---------------------------------------------------------------------------
EXPRESSION_LENGTH = 4 * KIB
"""Characters of an expression."""
EXPRESSION_DEPTH = 100
"""How deep these are nested."""
OPERAND_NAME = 64
"""Characters of an operand's name."""
RECIPE_BYTES = 256 * KIB
"""Bytes of an expression as it is stored, with the paths of its operands."""

# --- accounts ------------------------------------------------------------------------------
EMAIL_LENGTH = 254
"""Characters of a user's address."""
PASSWORD_LEAST = 8
"""Characters of a password."""
PASSWORD_BYTES = 1024
"""Bytes of a password in UTF-8."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values that make sense for a limit.

    Parameters
    ----------
    least, most : float
        Bounds, both allowed.
    size : bool
        Whether it is a number of bytes, which may be written as ``256MB``.
    """

    least: float
    most: float
    size: bool = False


COUNTS = Range(1, 10**9)
"""Of an int without a range of its own."""
SECONDS = Range(0.001, 10 * 366 * 86400.0)
"""Of a float without a range of its own."""
Bytes = Annotated[int, Range(1, 2**50, size=True)]
ChunkBytes = Annotated[int, Range(1, CHUNK_BYTES, size=True)]


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
    """Roots of a broker."""
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
    all_jobs: int = 256
    """Requests that a publisher works on or holds at once, all peers together."""
    peer_jobs: int = 32
    """Requests of one peer that a publisher holds at once: twice a requester's credit."""
    reply_bytes: Bytes = MIB
    """Payload at which a publisher closes a reply and starts the next."""
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
    converted_bytes: Bytes = 32 * MIB
    """Converted chunks that are kept, since several subscribers may ask for them."""


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
    retry: float = 30.0
    """Until what ended the process is tried again though the file is the same one; doubled each
    time."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Storage of replicas, and reading values out of them."""

    overlay_bytes: Bytes = 64 * MIB
    """Chunks held in memory while the disk takes none."""
    parts_bytes: Bytes = 32 * MIB
    """Blocks held in memory of chunks of which only some were fetched."""
    open_replicas: int = 256
    """Replicas whose files are kept open while nobody reads them."""
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
    connections: Annotated[int, Range(1, 1000)] = 64
    """Connections to publishers that stay open, however many roots there are."""
    syncs: Annotated[int, Range(1, 1000)] = 32
    """Catalogs that are brought in step at once."""
    catalog_entries: int = 2_000_000
    """Datasets of a root."""
    catalog_bytes: Bytes = 256 * MIB
    """Characters of their paths and etags together."""
    catalog_deadline: float = 600.0
    """Until all pages of a catalog have arrived."""
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


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Answers and requests of the REST interface."""

    output_bytes: Bytes = 256 * MIB
    """Decompressed bytes of one slice's answer."""
    small_output: Bytes = MIB
    """Memory up to which an answer counts as small, and never waits behind large ones."""
    small_outputs_bytes: Bytes = 64 * MIB
    """Memory for all small answers that are made or sent at once."""
    outputs_bytes: Bytes = 1024 * MIB
    """Memory for all other answers that are made or sent at once, values and frames."""
    computed_outputs_bytes: Bytes = 512 * MIB
    """Memory for all computed answers: one of OUTPUT_BYTES and its frame."""
    stream_part: Bytes = 2 * MIB
    """Decompressed bytes of the chunks that are sent as one part of a stream."""
    streams_ahead: Bytes = 16 * MIB
    """Decompressed bytes of answers up to which a new stream reads more than one part ahead."""
    write_held: Bytes = 64 * KIB
    """Bytes of an answer up to which its parts are sent as one."""
    stalled: float = 60.0
    """Until a connection is cut whose reader takes nothing of what is sent."""
    answer_deadline: float = 3600.0
    """Until an answer's first byte goes out: a whole dataset may have to be fetched for it."""
    ranges: int = 64
    """Byte ranges of one request."""
    body_bytes: Bytes = 9 * MIB
    """Bytes of a request's body."""
    form_bytes: Bytes = 16 * KIB
    """Bytes of a body with a name and a password."""
    part_header: Bytes = 16 * KIB
    """Bytes of a part's headers in a multipart body."""
    members: int = 1000
    """Datasets that one answer describes."""
    connections: int = 4000
    """Connections of clients, and half of the files that the process may open at most; the one
    that is idle for longest is closed for a new one."""
    address_connections: int = 1000
    """Connections of one address, or IPv6 network of 64 bits; behind a proxy all share one."""
    requests: int = 1000
    """Requests that run at once; more are refused with 503."""
    address_listeners: int = 50
    """Clients of one address that listen to events."""
    head_bytes: Bytes = 64 * KIB
    """Bytes of a request's head, and of what frames a body between two parts of it."""
    headers: int = 100
    """Headers of a request."""
    head_deadline: float = 10.0
    """Until a request's head is complete, and until the first request of a connection."""
    body_rate: Bytes = KIB
    """Bytes of a body that arrive in each second at least, as the mean of BODY_WINDOW."""
    body_window: float = 10.0
    """Seconds over which BODY_RATE is measured."""
    keep_alive: float = 30.0
    """Until a connection without requests is closed."""
    listing_step: int = 20_000
    """Paths of a list that are written as JSON in one step: other threads wait meanwhile."""
    heartbeat: float = 15.0
    """Without an event, until a comment in the stream of events shows that it works."""
    disconnect_check: float = 0.5
    """Between two checks whether the client of a request is still connected."""


@dataclass(frozen=True, slots=True)
class SpecialLimits:
    """Uploads to special roots."""

    uploads: int = 200
    """Files and directories that are staged at once: uploads, copies and results."""
    upload_piece: Bytes = 256 * KIB
    """Bytes of an upload that are collected in memory before they are written."""
    upload_chunk: ChunkBytes = 256 * MIB
    """Decompressed bytes of a chunk of an uploaded frame: reading one takes as much memory."""
    upload_stalled: float = 60.0
    """Until an upload is given up of which no data arrives."""
    decode_step: Bytes = 8 * MIB
    """Decompressed bytes of chunks that are decoded or copied in one step. Larger chunks of an
    upload are not decoded to check them."""
    open_datasets: int = 64
    """Datasets of a root that are kept open for the next reader."""
    archive_files: int = 100_000
    """Files and directories of an archive."""
    archive_bytes: Bytes = 2**40
    """Extracted bytes of an archive, unless the quota is less."""
    archive_ratio: int = 1000
    """Extracted bytes for each byte of an archive, in addition to ARCHIVE_LEAST."""
    archive_least: Bytes = 64 * MIB
    """Extracted bytes of any archive, however small it is."""
    archive_header: Bytes = 16 * MIB
    """Bytes of a header of a tar archive, or of the directory of a zip archive."""


@dataclass(frozen=True, slots=True)
class ComputeLimits:
    """Expressions and their evaluation."""

    expression_nodes: int = 1000
    """Operands, numbers and functions of an expression, including those of expressions among its
    operands."""
    expression_nesting: Annotated[int, Range(1, 64)] = 16
    """Levels of expressions over expressions."""
    operands: int = 64
    """Operands of an expression."""
    computed_bytes: Bytes = 2**40
    """Bytes of a result; only the parts that are read are computed."""
    computed_frame: Bytes = 16 * 1024 * MIB
    """Bytes of a result that is computed as a whole."""
    computed_chunk: ChunkBytes = 8 * MIB
    """Bytes of a result's chunk, which is computed as one."""
    compute_operands: Bytes = 64 * 1024 * MIB
    """Decompressed bytes of operands that are read for one answer."""
    compute_staged: Bytes = 64 * MIB
    """Bytes of the parts of an expression that are computed before the rest of it, such as means,
    as far as they are held at the same time."""
    compute_memory: Bytes = 16 * MIB
    """Bytes of operands and intermediate values that one computation holds."""
    computations: int = 8
    """Computations at once; more wait for their turn."""
    user_computations: int = 4
    """Computations at once of one user, or of all readers without login; one at a time if others
    have used up COMPUTATIONS."""
    computation_wait: float = 30.0
    """Seconds that a computation waits for its turn before it is refused."""
    compute_deadline: float = 600.0
    """Until the computation of an answer is given up."""
    plan_nodes: int = 20_000
    """Operands, numbers and functions of all plans that are kept between reads: a plan is valid
    while the expression and its operands stay at their versions."""
    computed_kept: Bytes = 2 * compute_staged
    """Results of reductions that are cached for the next read of the expression. A result may take
    half of it, so that each that is allowed by COMPUTE_STAGED is cached."""


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Accounts, sessions and logins."""

    users: int = 100_000
    """Accounts, unless ``maxusers`` is set."""
    session: float = 12 * 3600.0
    """Until a session expires."""
    user_sessions: int = 1000
    """Sessions of one user; the oldest is ended beyond that."""
    known_sessions: int = 10_000
    """Sessions whose user is cached in memory."""
    known_for: Annotated[float, Range(0.0, 3600.0)] = 5.0
    """Until a cached session is looked up again: a change by another process takes effect then."""
    hashes_waiting: int = 64
    """Passwords that are hashed or verified, or wait for it."""
    logins: int = 5
    """Failed logins of one user from one address in a minute."""
    logins_anywhere: int = 100
    """Failed logins of one user from all addresses in a minute."""
    registrations: int = 20
    """Registrations from one address in a minute."""
    user_views: int = 1000
    """Users whose view of the subscriber is kept between requests."""
    attempts: int = 10_000
    """Users and addresses whose attempts are counted."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The Python client; handed to ``Client(..., limits=...)``."""

    window: Bytes = 64 * MIB
    """Decompressed bytes of one request for index arrays or a field, and of one frame."""
    piece: Bytes = 8 * MIB
    """Decompressed bytes of one request while a dataset is iterated over."""
    points: int = 100_000
    """Integers of index arrays in one request."""
    connections: int = 32
    """Idle connections that are kept open."""
    connect: float = 10.0
    """Until a connection stands."""
    patience: float = 20.0
    """Until a request that the subscriber postpones (429, 503) is not sent again."""
    pause: float = 5.0
    """Between two tries of a postponed request, however long the subscriber asks for."""
    tries: int = 5
    """Tries of a postponed request, of a read whose dataset changed, and of a download."""
    download_pause: float = 0.05
    """Before the second try of a download; doubles each time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """All groups, as ``[limits]`` in ``caterva2.toml`` names them."""

    wire: WireLimits = field(default_factory=WireLimits)
    broker: BrokerLimits = field(default_factory=BrokerLimits)
    publisher: PublisherLimits = field(default_factory=PublisherLimits)
    isolation: IsolationLimits = field(default_factory=IsolationLimits)
    cache: CacheLimits = field(default_factory=CacheLimits)
    subscriber: SubscriberLimits = field(default_factory=SubscriberLimits)
    web: WebLimits = field(default_factory=WebLimits)
    special: SpecialLimits = field(default_factory=SpecialLimits)
    compute: ComputeLimits = field(default_factory=ComputeLimits)
    accounts: AccountLimits = field(default_factory=AccountLimits)
    client: ClientLimits = field(default_factory=ClientLimits)


DEFAULTS = Limits()

# --- names that modules still use, until each takes its group -----------------------------
CREDIT = DEFAULTS.wire.credit
DATA_HWM = DEFAULTS.wire.data_hwm
CONTROL_HWM = DEFAULTS.wire.control_hwm
FIRST_BYTE = DEFAULTS.wire.first_byte
REQUEST_DEADLINE = DEFAULTS.wire.request_deadline
SLOWEST = DEFAULTS.wire.slowest
RETRIES = DEFAULTS.wire.retries
BACKOFF = DEFAULTS.wire.backoff
ROOTS = DEFAULTS.broker.roots
LEASE_TTL = DEFAULTS.broker.lease_ttl
BEAT = DEFAULTS.broker.beat
SNAPSHOT_PAGE = DEFAULTS.broker.snapshot_page
PUBLISHER_BYTES = DEFAULTS.publisher.all_bytes
PEER_BYTES = DEFAULTS.publisher.peer_bytes
PUBLISHER_JOBS = DEFAULTS.publisher.all_jobs
PEER_JOBS = DEFAULTS.publisher.peer_jobs
REPLY_BYTES = DEFAULTS.publisher.reply_bytes
INFOS_BYTES = DEFAULTS.publisher.infos_bytes
INFOS_TIME = DEFAULTS.publisher.infos_time
CATALOG_PAGE = DEFAULTS.publisher.catalog_page
OVERLAY_BYTES = DEFAULTS.cache.overlay_bytes
PARTS_BYTES = DEFAULTS.cache.parts_bytes
OPEN_REPLICAS = DEFAULTS.cache.open_replicas
HANDLES = DEFAULTS.cache.handles
DECODE_STEP = DEFAULTS.cache.decode_step
DECODE_CHUNKS = DEFAULTS.cache.decode_chunks
OUTPUT_CHUNKS = DEFAULTS.cache.output_chunks
AT_HAND_BYTES = DEFAULTS.cache.nonblocking_bytes
AT_HAND_BLOCKS = DEFAULTS.cache.nonblocking_blocks
AT_HAND_MAP = DEFAULTS.cache.nonblocking_map
AT_HAND_MAPS = DEFAULTS.cache.nonblocking_maps
CATALOG_ENTRIES = DEFAULTS.subscriber.catalog_entries
ENSURE_WINDOW = DEFAULTS.subscriber.ensure_window
LARGE_CHUNK = DEFAULTS.subscriber.large_chunk
ROUND_TRIP_BYTES = DEFAULTS.subscriber.round_trip_bytes
PLAIN_ITEMS = DEFAULTS.subscriber.plain_items
READAHEAD_BYTES = DEFAULTS.subscriber.readahead_bytes
READAHEAD_LEAST = DEFAULTS.subscriber.readahead_least
READAHEADS = DEFAULTS.subscriber.readaheads
EVENT_LISTENERS = DEFAULTS.subscriber.event_listeners
EVENT_QUEUE = DEFAULTS.subscriber.event_queue
PREFETCH_JOBS = DEFAULTS.subscriber.prefetch_jobs
PREFETCH_FAILURES = DEFAULTS.subscriber.prefetch_failures
PREFETCH_AT_ONCE = DEFAULTS.subscriber.prefetch_at_once
PREFETCH_AT_ONCE_BYTES = DEFAULTS.subscriber.prefetch_at_once_bytes
PREFETCH_WINDOW = DEFAULTS.subscriber.prefetch_window
OUTPUT_BYTES = DEFAULTS.web.output_bytes
SMALL_OUTPUT = DEFAULTS.web.small_output
SMALL_OUTPUTS_BYTES = DEFAULTS.web.small_outputs_bytes
OUTPUTS_BYTES = DEFAULTS.web.outputs_bytes
COMPUTED_OUTPUTS_BYTES = DEFAULTS.web.computed_outputs_bytes
STREAM_PART = DEFAULTS.web.stream_part
STREAMS_AHEAD = DEFAULTS.web.streams_ahead
WRITE_HELD = DEFAULTS.web.write_held
STALLED = DEFAULTS.web.stalled
ANSWER_DEADLINE = DEFAULTS.web.answer_deadline
RANGES = DEFAULTS.web.ranges
BODY_BYTES = DEFAULTS.web.body_bytes
FORM_BYTES = DEFAULTS.web.form_bytes
PART_HEADER = DEFAULTS.web.part_header
MEMBERS = DEFAULTS.web.members
UPLOADS = DEFAULTS.special.uploads
UPLOAD_PIECE = DEFAULTS.special.upload_piece
UPLOAD_CHUNK = DEFAULTS.special.upload_chunk
ARCHIVE_FILES = DEFAULTS.special.archive_files
ARCHIVE_BYTES = DEFAULTS.special.archive_bytes
ARCHIVE_RATIO = DEFAULTS.special.archive_ratio
ARCHIVE_LEAST = DEFAULTS.special.archive_least
ARCHIVE_HEADER = DEFAULTS.special.archive_header
EXPRESSION_NODES = DEFAULTS.compute.expression_nodes
EXPRESSION_NESTING = DEFAULTS.compute.expression_nesting
OPERANDS = DEFAULTS.compute.operands
COMPUTED_BYTES = DEFAULTS.compute.computed_bytes
COMPUTED_FRAME = DEFAULTS.compute.computed_frame
COMPUTED_CHUNK = DEFAULTS.compute.computed_chunk
COMPUTE_OPERANDS = DEFAULTS.compute.compute_operands
COMPUTE_STAGED = DEFAULTS.compute.compute_staged
COMPUTE_MEMORY = DEFAULTS.compute.compute_memory
COMPUTATIONS = DEFAULTS.compute.computations
USER_COMPUTATIONS = DEFAULTS.compute.user_computations
COMPUTE_DEADLINE = DEFAULTS.compute.compute_deadline
COMPUTED_KEPT = DEFAULTS.compute.computed_kept
USERS = DEFAULTS.accounts.users
SESSION = DEFAULTS.accounts.session
USER_SESSIONS = DEFAULTS.accounts.user_sessions
KNOWN_SESSIONS = DEFAULTS.accounts.known_sessions
KNOWN_FOR = DEFAULTS.accounts.known_for
HASHES_WAITING = DEFAULTS.accounts.hashes_waiting
LOGINS = DEFAULTS.accounts.logins
LOGINS_ANYWHERE = DEFAULTS.accounts.logins_anywhere
REGISTRATIONS = DEFAULTS.accounts.registrations
ATTEMPTS = DEFAULTS.accounts.attempts
CLIENT_WINDOW = DEFAULTS.client.window
CLIENT_PIECE = DEFAULTS.client.piece
CLIENT_POINTS = DEFAULTS.client.points
