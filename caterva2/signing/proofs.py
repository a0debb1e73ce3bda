"""Proofs that chunks are those of a version: a small tree over some of them has one signature.

So an origin signs once for all chunks of an answer, and a mirror passes each on by itself. A
proof is the signature, the place of the chunk in the tree, and the digests beside its way up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from caterva2.limits.constants import PROOF_BYTES, SIGNATURE_BYTES
from caterva2.names import DatasetPath, RootName
from caterva2.signing import statements

Sign = Callable[[bytes], bytes]
NODE = 20
"""Bytes of the digests in a tree."""
MOST = 64
"""Chunks of one tree; PROOF_BYTES has room for their six levels."""


def sign(
    signing: Sign, root: RootName, path: DatasetPath, etag: str, digests: Mapping[int, bytes]
) -> dict[int, bytes]:
    """Return a proof for each chunk of a version, by its number."""
    found: dict[int, bytes] = {}
    numbers = list(digests)
    for at in range(0, len(numbers), MOST):
        some = numbers[at : at + MOST]
        levels = _levels([_leaf(n, digests[n]) for n in some])
        signature = signing(statements.pieces(root, path, etag, levels[-1][0]))
        for place, n in enumerate(some):
            found[n] = signature + bytes([place]) + _beside(levels, place)
    return found


def statement(
    root: RootName, path: DatasetPath, etag: str, n: int, digest: bytes, proof: bytes
) -> tuple[bytes, bytes]:
    """Return what must have been signed if a proof of a chunk is right, and the signature.

    Raises
    ------
    ValueError
        If it is no proof.
    """
    signature, rest = proof[:SIGNATURE_BYTES], proof[SIGNATURE_BYTES + 1 :]
    if not SIGNATURE_BYTES < len(proof) <= PROOF_BYTES or len(rest) % NODE:
        raise ValueError("no proof")
    node, place = _leaf(n, digest), proof[SIGNATURE_BYTES]
    for at in range(0, len(rest), NODE):
        other = rest[at : at + NODE]
        node = _node(other, node) if place & 1 else _node(node, other)
        place >>= 1
    return statements.pieces(root, path, etag, node), signature


def _leaf(n: int, digest: bytes) -> bytes:
    return hashlib.sha256(b"\0" + n.to_bytes(8, "little") + digest).digest()[:NODE]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()[:NODE]


def _levels(nodes: list[bytes]) -> list[list[bytes]]:
    """Return a tree from its leaves up; a node without a neighbour is its own."""
    levels = [nodes]
    while len(nodes) > 1:
        nodes = [
            _node(nodes[at], nodes[min(at + 1, len(nodes) - 1)]) for at in range(0, len(nodes), 2)
        ]
        levels.append(nodes)
    return levels


def _beside(levels: list[list[bytes]], place: int) -> bytes:
    found = b""
    for nodes in levels[:-1]:
        found += nodes[min(place ^ 1, len(nodes) - 1)]
        place >>= 1
    return found
