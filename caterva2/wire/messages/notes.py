"""Notes, which a broker or a publisher sends to all subscribers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from caterva2.model import Count, Etag, Kind, Model, Path, Root, RootInfo, Token

Reason = Literal["closed", "expired", "replaced"]
"""Why a lease ended: by its holder, without a renewal, or since another publisher took it over."""


class RootUp(RootInfo):
    """A root has a publisher now, or another one."""

    type: Literal["root-up"] = "root-up"
    seq: Count
    binst: Token


class RootDown(Model):
    """A root has no publisher any more; ``away`` is the root if it has mirrors."""

    type: Literal["root-down"] = "root-down"
    seq: Count
    binst: Token
    root: Root
    fence: Count
    reason: Reason
    away: RootInfo | None = None


class BrokerBeat(Model):
    """The broker lives; ``seq`` is that of its last note."""

    type: Literal["beat"] = "beat"
    seq: Count
    binst: Token


class Change(Model):
    """A dataset was created, changed or deleted; ``rev`` counts the changes of its root."""

    type: Literal["change"] = "change"
    root: Root
    inst: Token
    fence: Count
    rev: Count
    op: Literal["put", "delete"]
    path: Path
    kind: Kind = "file"
    etag: Etag | Literal[""] = ""
    size: Count = 0
    mtime: float = 0.0

    @model_validator(mode="after")
    def _put_has_a_version(self) -> Self:
        if self.op == "put" and not self.etag:
            raise ValueError("a put names the new version")
        return self


class RootBeat(Model):
    """A publisher lives; ``rev`` is that of its last change."""

    type: Literal["beat"] = "beat"
    root: Root
    inst: Token
    fence: Count
    rev: Count


RootsNote = RootUp | RootDown | BrokerBeat
RootNote = Change | RootBeat
