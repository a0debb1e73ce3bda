"""Archives that users upload: zip and tar.gz."""

from __future__ import annotations

import contextlib

from caterva2.errors import BadName, BadUpload, Conflict
from caterva2.special.directory import os_errors
from caterva2.special.incoming import Incoming
from caterva2.special.quota import SpecialQuota
from caterva2.special.uploads import archives
from tests.fuzz.targets import _files

KINDS: tuple[archives.Archive, ...] = ("zip", "tar.gz")


def one(data: bytes) -> None:
    with _files.written("archive", data) as path:
        incoming = Incoming(path.parent / "incoming", SpecialQuota(0))
        for kind in KINDS:
            refused = contextlib.suppress(BadUpload, BadName, Conflict)
            with incoming.tree() as tree, refused, os_errors("a"):  # as those do that unpack
                archives.unpack(kind, path, tree)
