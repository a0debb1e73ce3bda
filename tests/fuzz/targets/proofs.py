"""Proofs that chunks are an origin's, and what is said of their blocks."""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caterva2.limits.constants import LEAF_BYTES
from caterva2.names import DatasetPath, RootName
from caterva2.signing import digests, keys, proofs
from caterva2.signing.checks import Checks, Forged

ROOT, PATH = RootName("foo"), DatasetPath("a.b2nd")
_SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = keys.SigningKey(
    _SECRET.public_key().public_bytes_raw().hex(), _SECRET.private_bytes_raw(), ()
)
DIGESTS = {n: bytes([n]) * digests.SIZE for n in range(70)}
"""Of the chunks that were signed, by their numbers."""


def honest(n: int) -> bytes:
    """Return the number of a chunk, that of its digest, and the proof of both."""
    return bytes([n, n]) + proofs.sign(KEY.signing(), ROOT, PATH, "e", DIGESTS)[n]


def one(data: bytes) -> None:
    n, of, proof = int.from_bytes(data[:1]), int.from_bytes(data[1:2]), data[2:]
    digest = DIGESTS.get(of, bytes(digests.SIZE))
    with contextlib.suppress(Forged):
        Checks(ROOT, [KEY.public]).chunk(PATH, "e", n, digest, proof)
        assert n == of and n in DIGESTS
    if digests.have(proof, [n], [b"x"]):
        assert len(proof) >= (n + 1) * LEAF_BYTES
