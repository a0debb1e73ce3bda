"""Every number that bounds work, with its reason.

Sizes are in bytes, times in seconds unless the name says otherwise.
"""

from __future__ import annotations

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
REPLY_BYTES = MIB
"""Payload at which a publisher closes a reply and starts the next."""
REQUEST_INFOS = 256
"""Datasets that one request asks to describe."""
INFOS_BYTES = 768 * KIB
"""Estimated size at which a publisher closes a reply with descriptions."""
INFOS_TIME = 1.0
"""Time after which it does so, since each may take a while."""
CREDIT = 16
"""Requests that a requester may have in flight with one publisher."""
CATALOG_PAGE = 800
"""Entries of one catalog reply: with the longest paths it stays under HEADER_BYTES."""
SNAPSHOT_PAGE = 400
"""Roots of one snapshot part: with the longest endpoints it stays under HEADER_BYTES."""
FENCE = 2**53
"""Grants of one root's name."""
CATALOG_ENTRIES = 2_000_000
"""Datasets of a root."""
ROOTS = 100_000
"""Roots of a broker."""
DATA_HWM = 256
"""Frames (four a message) queued for one peer of the data sockets, beside PEER_BYTES."""
CONTROL_HWM = 10_000
"""Messages queued for one peer of the control and announcement sockets."""
PUBLISHER_BYTES = 256 * MIB
"""Payload that a publisher holds for all its peers together."""
PEER_BYTES = 8 * MIB
"""Payload that a publisher holds for one peer that has not taken it yet."""
PUBLISHER_JOBS = 256
"""Requests that a publisher works on or holds at once, all peers together."""
PEER_JOBS = 2 * CREDIT
"""Requests of one peer that a publisher holds at once."""

# --- times ---------------------------------------------------------------------------------
FIRST_BYTE = 5.0
"""Until the first reply, and between two replies, of a request."""
SLOWEST = 128 * KIB
"""Bytes a second that a link must carry: limits are that much longer for what is large."""
REQUEST_DEADLINE = 30.0
"""All of one request with its retries, where the caller names no deadline."""
DEADLINE_MAX = 600.0
"""The longest deadline that anybody may ask for."""
RETRIES = 3
BACKOFF = 0.1
"""Base of the full-jitter pause before a retry; doubles each time."""
LEASE_TTL = 10.0
BEAT = 1.0
SHUTDOWN = 4.0
"""Until a service that was told to end gives up waiting for its work."""

# --- the subscriber ------------------------------------------------------------------------
OVERLAY_BYTES = 64 * MIB
"""Chunks held in memory while the disk takes none."""
PARTS_BYTES = 32 * MIB
"""Blocks held in memory of chunks of which only some were fetched."""
LARGE_CHUNK = 128 * KIB
"""Stored bytes from which on a chunk may be fetched in blocks: less is not worth it."""
ROUND_TRIP_BYTES = 256 * KIB
"""What one more request costs, as bytes that a link carries meanwhile."""
READAHEAD_BYTES = 8 * MIB
"""Stored bytes that are fetched ahead of one reader at most; a larger chunk never is."""
READAHEAD_LEAST = 256 * KIB
"""Stored bytes that are fetched first ahead of a reader who is seen to read in order."""
READAHEADS = 4
"""Fetches ahead of readers that are under way at once, all datasets together."""
PLAIN_ITEMS = 2**16
"""Positions of an axis up to which the blocks that a selection touches are looked for."""
OPEN_REPLICAS = 256
"""Replicas whose files are kept open while nobody reads them."""
HANDLES = 32
"""Open Blosc2 handles per reading thread."""
OUTPUT_BYTES = 256 * MIB
"""Decompressed bytes of one slice's answer."""
SMALL_OUTPUT = MIB
"""Memory up to which an answer counts as small, and never waits behind large ones."""
SMALL_OUTPUTS_BYTES = 64 * MIB
"""Memory for all small answers that are made or sent at once."""
OUTPUTS_BYTES = 1024 * MIB
"""Memory for all other answers that are made or sent at once, values and frames."""
AT_HAND_BYTES = 128 * KIB
"""Decompressed bytes of blocks up to which these are decoded at once, on an event loop."""
AT_HAND_BLOCKS = 16
"""Number of such blocks."""
AT_HAND_MAP = 512
"""Blocks of a chunk up to which looking where they are takes but a moment."""
AT_HAND_MAPS = 4096
"""Chunks of which that is remembered."""
COMPUTED_OUTPUTS_BYTES = 512 * MIB
"""Memory for all answers that are computed, of whatever size: one of OUTPUT_BYTES and its frame."""
DECODE_STEP = 8 * MIB
"""Decompressed bytes of the chunks that are decoded in one step."""
STREAM_PART = 2 * MIB
"""Decompressed bytes of the chunks that are sent as one part of a stream."""
STREAMS_AHEAD = 16 * MIB
"""Decompressed bytes of answers up to which a new stream reads more than one part ahead."""
WRITE_HELD = 64 * KIB
"""Bytes of an answer up to which its parts are sent as one."""
STALLED = 60.0
"""Until a connection is cut whose reader takes nothing of what is sent."""
DECODE_CHUNKS = 500
"""Chunks that are decoded in one step, however small they are."""
OUTPUT_CHUNKS = 1_000_000
"""Chunks that one slice's answer may touch; whole datasets are not counted."""
ANSWER_DEADLINE = 3600.0
"""Until an answer's first byte goes out: a whole dataset may have to be fetched for it."""
RANGES = 64
"""Byte ranges of one request."""
BODY_BYTES = 9 * MIB
"""Bytes of a request's body."""
CLIENT_WINDOW = 64 * MIB
"""Decompressed bytes that our client asks for at once."""
CLIENT_PIECE = 8 * MIB
"""Decompressed bytes that our client asks for at once while it iterates."""
CLIENT_POINTS = 100_000
"""Integers of index arrays that our client sends in one request."""
ENSURE_WINDOW = 20_000
"""Chunks that a reader waits for at once, so that counting them never holds up the event loop."""
READ_PIECE = MIB
"""A stored file is sent in pieces of this size."""
MEMBERS = 1000
"""Datasets that one answer describes."""
EVENT_LISTENERS = 100
"""Clients that listen to events."""
EVENT_QUEUE = 1000
"""Events that wait for one listener."""
PREFETCH_JOBS = 32
"""Prefetches that have not ended, and as many that have and are still remembered."""
PREFETCH_FAILURES = 20
"""Datasets that a prefetch names of those that it could not have."""
PREFETCH_AT_ONCE = 16
"""Datasets of a prefetch that are fetched at once, so that a long way does not count for each."""
PREFETCH_AT_ONCE_BYTES = 4 * MIB
"""Stored bytes of these: a larger dataset is fetched alone."""
PREFETCH_WINDOW = 32 * MIB
"""Decompressed bytes that a prefetch waits for at once."""

# --- special roots -------------------------------------------------------------------------
UPLOADS = 200
"""Files that come in, or are made, at once."""
UPLOAD_PIECE = 256 * KIB
"""Bytes of an upload that are held in memory before they are written."""
UPLOAD_CHUNK = 256 * MIB
"""Decompressed bytes of a chunk of a frame that comes in: reading may take as much memory."""
PART_HEADER = 16 * KIB
"""Bytes of a part's headers in a multipart body."""
ARCHIVE_FILES = 100_000
"""Files and directories in an archive that is unpacked."""
ARCHIVE_BYTES = 2**40
"""Bytes that an archive may have when it is unpacked, where no quota is less."""
ARCHIVE_RATIO = 1000
"""Unpacked bytes for each byte of an archive, beside `ARCHIVE_LEAST`."""
ARCHIVE_LEAST = 64 * MIB
ARCHIVE_HEADER = 16 * MIB
"""Bytes of a single header, or of the directory, of an archive."""

# --- expressions ---------------------------------------------------------------------------
EXPRESSION_LENGTH = 4 * KIB
"""Characters of an expression."""
EXPRESSION_NODES = 1000
"""Operands, numbers and functions of an expression, those of its operands counted where these
are expressions themselves."""
EXPRESSION_DEPTH = 100
"""How deep these are nested."""
EXPRESSION_NESTING = 16
"""Expressions over expressions over expressions."""
OPERANDS = 64
"""Operands of an expression."""
OPERAND_NAME = 64
"""Characters of an operand's name."""
RECIPE_BYTES = 256 * KIB
"""Bytes of an expression as it is stored, with the paths of its operands."""
COMPUTED_BYTES = 2**40
"""Bytes of a result, of which only what is read is computed."""
COMPUTED_FRAME = 16 * 1024 * MIB
"""Bytes of a result that is computed as a whole."""
COMPUTED_CHUNK = 8 * MIB
"""Bytes of a result's chunk, which is computed as one."""
COMPUTE_OPERANDS = 64 * 1024 * MIB
"""Decompressed bytes of operands that are read for one answer."""
COMPUTE_STAGED = 64 * MIB
"""Bytes of parts of an expression that are computed before the rest of it, such as means; those
that are held at once together."""
COMPUTE_MEMORY = 16 * MIB
"""Bytes of operands and of what is made of them that one computation holds at once."""
COMPUTATIONS = 8
"""Computations at once; more wait for their turn."""
USER_COMPUTATIONS = 4
"""Computations at once of one user, or of all who have not logged in; where others have used
up COMPUTATIONS, one at a time."""
COMPUTE_DEADLINE = 600.0
"""Until the computation of an answer is given up."""
COMPUTED_KEPT = 2 * COMPUTE_STAGED
"""Results of reductions that are kept for whoever reads next of the same expression: each that
there can be, since who reads on would wait for all of it again."""

# --- accounts ------------------------------------------------------------------------------
USERS = 100_000
"""Accounts, where ``maxusers`` sets no other bound."""
EMAIL_LENGTH = 254
"""Characters of a user's address."""
PASSWORD_LEAST = 8
"""Characters of a password."""
PASSWORD_BYTES = 1024
"""Bytes of a password in UTF-8."""
SESSION = 12 * 3600.0
"""Until a user has to log in again."""
USER_SESSIONS = 1000
"""Sessions of one user; the oldest ends when there is one more."""
KNOWN_SESSIONS = 10_000
"""Sessions whose user is known without asking the disk."""
KNOWN_FOR = 5.0
"""Seconds for which that holds: a change by another process counts after that."""
HASHES_WAITING = 64
"""Passwords that wait to be checked or hashed."""
LOGINS = 5
"""Failed logins of one user from one address in a minute."""
LOGINS_ANYWHERE = 100
"""Failed logins of one user from all addresses in a minute."""
REGISTRATIONS = 20
"""Accounts that one address may ask for in a minute."""
ATTEMPTS = 10_000
"""Users and addresses whose failed logins are remembered."""
FORM_BYTES = 16 * KIB
"""Bytes of a body with a name and a password."""
