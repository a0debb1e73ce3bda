"""Limits of what users ask for: answers, uploads, computations, accounts, the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from caterva2.limits.constants import KIB, MIB
from caterva2.limits.ranges import Bytes, ChunkBytes, Range


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Answers and requests of the REST interface."""

    output_bytes: Bytes = 256 * MIB
    """Decompressed bytes of one slice's answer."""
    text_items: int = 4 * 1024 * 1024
    """Items of an answer in JSON or CSV."""
    small_output: Bytes = MIB
    """Memory up to which an answer counts as small, and never waits behind large ones."""
    small_outputs_bytes: Bytes = 64 * MIB
    """Memory for all small answers that are made or sent at once."""
    outputs_bytes: Bytes = 1024 * MIB
    """Memory for all other answers that are made or sent at once, values and frames."""
    computed_outputs_bytes: Bytes = 512 * MIB
    """Memory for all computed answers: one of OUTPUT_BYTES and its frame."""
    stream_part: Bytes = 4 * MIB
    """Decompressed bytes of the chunks that are sent as one part of a stream; half of it while
    others take STREAMS_AHEAD."""
    streams_ahead: Bytes = 16 * MIB
    """Decompressed bytes of answers up to which a new stream has large parts, and reads more than
    one ahead."""
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
    search_time: Annotated[float, Range(0.01, 600.0)] = 2.0
    """Until a search answers with what it has found."""
    search_described: int = 10_000
    """Datasets that one search describes which were not described yet."""
    members_bytes: Bytes = 8 * MIB
    """JSON of described datasets that is kept for the next such answer."""
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
    shard_indices: Bytes = 16 * MIB
    """Memory for the indices of chunks that were converted for Zarr, 16 bytes a block."""
    consolidated: int = 100_000
    """Arrays of a group up to which its metadata of Zarr has theirs in it."""
    consolidated_bytes: Bytes = 128 * MIB
    """Bytes of their metadata up to which that is so."""
    consolidated_kept: Bytes = 32 * MIB
    """Memory for metadata of groups of more than MEMBERS arrays that is kept, deflated."""
    disconnect_check: float = 0.5
    """Between two checks whether the client of a request is still connected."""


@dataclass(frozen=True, slots=True)
class OverviewLimits:
    """Overviews, statistics and images of parts of arrays, and pages of tables."""

    overview_size: int = 4096
    """Bins of an overview along an axis, and pixels of an image."""
    overview_bins: int = 4 * 1024 * 1024
    """Bins of an overview."""
    overview_exact: Bytes = 512 * MIB
    """Decompressed bytes up to which an overview is exact at once: a second's work. For more, the
    first answer is of a sample."""
    overview_sample: Bytes = 64 * MIB
    """Decompressed bytes of the blocks of such a sample."""
    overview_bytes: Bytes = 256 * 1024 * MIB
    """Decompressed bytes beyond which an overview is of a sample only."""
    overviews_kept: Bytes = 128 * MIB
    """Memory for overviews that are kept for the next request."""
    overviews: int = 2
    """Overviews that are made at once; more wait for their turn."""
    table_rows: int = 10_000
    """Rows of a page of a table."""
    table_columns: int = 1000
    """Columns of a page of a table."""
    table_sorted: int = 20_000_000
    """Rows of a table that is sorted, and matches of a filter that are looked for."""
    table_time: float = 2.0
    """Until the search for matches of a filter ends: the rest is looked for by the next request."""
    tables_kept: Bytes = 64 * MIB
    """Memory for the numbers of rows that match or are sorted, for the next page."""


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
    unfinished: int = 2000
    """Uploads that were interrupted and can go on, of all users."""
    user_unfinished: int = 100
    """Such uploads of one user."""
    unfinished_days: Annotated[int, Range(1, 36_500)] = 7
    """Days until such an upload is given up of which nothing more arrives."""
    decode_step: Bytes = 8 * MIB
    """Decompressed bytes of chunks that are decoded or copied in one step. Larger chunks of an
    upload are not decoded to check them."""
    trash_days: Annotated[int, Range(1, 36_500)] = 30
    """Days until what was removed is removed for good, unless the quota needs its room before."""
    open_datasets: int = 64
    """Datasets of a root that are kept open for the next reader."""
    file_datasets: int = 200_000
    """Datasets in the files of a root together, such as HDF5: a file with more is a file only."""
    listings: Annotated[int, Range(1, 1000)] = 16
    """Roots that are scanned at once: a file whose datasets are listed may take LISTED_S."""
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
class ClusterLimits:
    """Computations that are handed to a Dask cluster."""

    cluster_least: Bytes = 256 * MIB
    """Decompressed bytes of operands from which a computation, or a reduction in it, is handed to
    the cluster: less is computed here in the time that handing it over takes."""
    cluster_piece: Bytes = 32 * MIB
    """Decompressed bytes of operands of a piece that one worker computes."""
    cluster_held: Bytes = 64 * MIB
    """Bytes of results of pieces that are awaited at a time, for one computation."""
    cluster_threads: int = 64
    """Threads of workers for which one computation has pieces under way, two for each."""
    cluster_connect: float = 5.0
    """Until the scheduler has to answer."""
    cluster_patience: float = 30.0
    """Until the next piece has to be computed: this subscriber computes by itself then."""
    cluster_retry: float = 30.0
    """After which a cluster that failed is tried again."""


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
    """Failed logins of one user from one address, or IPv6 network of 64 bits, in a minute."""
    logins_anywhere: int = 100
    """Failed logins of one user from all addresses in a minute; more have to wait for turns."""
    login_wait: float = 10.0
    """Until the turn of a login of which there are many."""
    registrations: int = 20
    """Registrations from one address in a minute."""
    user_views: int = 1000
    """Users whose view of the subscriber is kept between requests."""
    attempts: int = 10_000
    """Users and addresses whose attempts are counted."""
    user_tokens: int = 100
    """API tokens of one user."""
    token_days: float = 366.0
    """Days until an API token expires."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The Python client; handed to ``Client(..., limits=...)``."""

    window: Bytes = 64 * MIB
    """Decompressed bytes of one request for index arrays or a field, and of one frame."""
    piece: Bytes = 8 * MIB
    """Decompressed bytes of one request while a dataset is iterated over."""
    points: int = 100_000
    """Integers of index arrays in one request."""
    resumed: Bytes = 8 * MIB
    """Bytes of a file from which on its upload goes on after an interruption: one that is smaller
    is sent by one request less."""
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
