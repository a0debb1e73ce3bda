"""Facts of the formats and of the protocol that bound what is accepted.

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
DIMENSION_NAME = 256
"""Characters of the name of a dimension."""
DTYPE_LENGTH = 40 * KIB
"""Characters of a dtype string."""
DTYPE_FIELDS = 1024
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
ATTRS_ITEMS = 1024
"""Attributes of a dataset or group."""
ATTRS_BYTES = 256 * KIB
"""Bytes of their names and values on the wire, beside those of vlmeta."""
TABLE_COLUMNS = 1024
"""Columns of a table."""
TABLE_BYTES = 64 * KIB
"""Bytes of their names on the wire."""
METALAYER_ITEMS = 15
"""BLOSC2_MAX_METALAYERS of the Blosc2 library, without the one that makes an array."""
METALAYER_NAME = 31
"""BLOSC2_METALAYER_NAME_MAXLEN: bytes of a metalayer's name."""
METALAYER_BYTES = 64 * KIB
"""Bytes of a dataset's metalayers on the wire."""
METADATA_DEPTH = 32
"""Nesting of a metadata value."""
FILE_CHUNK = MIB
"""A plain file is cached as a byte string with chunks of this size."""

# --- the wire ------------------------------------------------------------------------------
HEADER_BYTES = MIB
"""Bytes of a message's header."""
MESSAGE_BYTES = CHUNK_BYTES + 64 * KIB
"""ZeroMQ's MAXMSGSIZE, of a frame, for answers with the largest chunks."""
ANSWER_BYTES = 8 * MIB
"""That for answers where no larger chunk is asked for: a publisher may add one to REPLY_BYTES."""
REQUEST_FRAME = 512 * KIB
"""That for requests to a publisher: REQUEST_INFOS of the longest paths fit."""
CONTROL_BYTES = 2 * MIB
"""That for answers of a broker, and of sockets that have no purpose of their own."""
CONTROL_FRAME = 32 * KIB
"""That for requests to a broker: a registration with the longest endpoints fits."""
NOTE_BYTES = 8 * KIB
"""That for notes: one about the longest path, or a root with the longest endpoints, fits."""
TOPIC_BYTES = 512
"""That for subscriptions: the topic of a root with the longest name and CURVE's handshake fit."""
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
"""Roots of one part of a snapshot: with the longest endpoints it stays under HEADER_BYTES. Four
mirrors count as a root."""
RENEWED_ROOTS = 1000
"""Roots whose mirrors' leases one request renews."""
RIGHTS_LENGTH = 32
"""Characters of the name of a root's rights."""
BROKER_KEYS = 2
"""Keys that a broker may have, while one replaces the other."""
READERS = 1000
"""Words by which a publisher names the readers of its root."""
READER_LENGTH = 260
"""Characters of one of them: the longest address, or the name of a group or key."""
FENCE = 2**53
"""Grants of one root's name."""
FENCE_LEAP = 2**32
"""Above the known fence of a root, up to which a broker believes one that a publisher remembers."""

MIRRORS = 8
"""Mirrors of one root that a broker announces."""
MIRROR_HOPS = 4
"""Mirrors, one behind the other, between a publisher and the last reader."""
MIRROR_NAME = 32
"""Characters of the name of a mirror."""

# --- times ---------------------------------------------------------------------------------
DEADLINE_MAX = 600.0
"""The longest deadline that anybody may ask for."""
SHUTDOWN = 4.0
"""Until a service that is ending stops waiting for its work."""

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
USER_GROUPS = 256
"""Groups of a user that an OpenID Connect provider may name."""
TOKEN_PREFIX = "c2_"  # noqa: S105
"""What an API token begins with, so that it is recognised where it does not belong."""
PASSWORD_LEAST = 8
"""Characters of a password."""
PASSWORD_BYTES = 1024
"""Bytes of a password in UTF-8."""
SIGNATURE_BYTES = 64
"""Of an Ed25519 signature."""
SIGNERS = 4
"""Keys with which an origin signs, at most; it shows two."""
PROOF_BYTES = SIGNATURE_BYTES + 1 + 6 * 20
"""Of the proof that a chunk is one of a version, at most; see `signing.proofs`."""
LEAF_BYTES = 20
"""Of what is said of each block of a chunk, so that single ones can be checked."""
LEAVES_BYTES = 1024 * LEAF_BYTES
"""Of what is said of all blocks of a chunk; one with more blocks is read as a whole."""
