"""The bytes that are signed: each names its kind and format, so none stands for another."""

from __future__ import annotations

import hashlib

import msgpack

from caterva2.model import DatasetInfo, Manifest
from caterva2.names import DatasetPath, RootName


def _of(kind: str, *content: object, version: int = 1) -> bytes:
    packed: bytes = msgpack.packb([f"caterva2 {kind} {version}", *content], use_bin_type=True)
    return packed


def signer(root: RootName, key: str, follows: bool) -> bytes:
    """Say that a key signs for the same origin as the one that signs this, or takes its place.

    For this root alone: one key may sign for several. Version 1 named none, and counts no more.
    """
    return _of("signer", root, key, follows, version=2)


def manifest(root: RootName, of: Manifest) -> bytes:
    """Say which entries the catalog of a root had; ``of`` need not be signed yet."""
    return _of("catalog", root, of.inst, of.fence, of.rev, of.time, of.digest)


def description(root: RootName, info: DatasetInfo) -> bytes:
    """Say how a version of a dataset is described; its path and etag are in that."""
    # Those of a description alone: a message has more.
    names = DatasetInfo.model_fields.keys() - {"signature"}
    fields = info.model_dump(exclude_defaults=True, include=set(names))
    fields["mtime"] = float(info.mtime)
    ordered = [[name, _ordered(fields[name])] for name in sorted(fields)]
    packed = msgpack.packb(ordered, use_bin_type=True)
    return _of("description", root, hashlib.sha256(packed).digest())


def pieces(root: RootName, path: DatasetPath, etag: str, tree: bytes) -> bytes:
    """Say which chunks, or pieces of a file, a version of a dataset has: those of a tree."""
    return _of("chunks", root, path, etag, tree)


def _ordered(value: object) -> object:
    """Return a value with its maps as lists in the order of their keys."""
    if isinstance(value, dict):
        return [[key, _ordered(value[key])] for key in sorted(value)]
    return value
