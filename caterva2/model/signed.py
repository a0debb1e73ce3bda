"""What an origin signs of its root, as messages and files carry it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from caterva2.limits import constants
from caterva2.model.fields import Count, Model, Token
from caterva2.model.roots import Fence

SigningKeyText = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""The public half of an Ed25519 key, in hexadecimal."""
Signature = Annotated[
    bytes, Field(min_length=constants.SIGNATURE_BYTES, max_length=constants.SIGNATURE_BYTES)
]


class Signer(Model):
    """A key with which an origin signs; the holder of the key ``by`` says so in ``signature``.

    With ``follows`` the key takes the place of ``by``; else it is that one, or the one before it.
    """

    key: SigningKeyText
    by: SigningKeyText
    follows: bool = False
    signature: Signature


class Manifest(Model):
    """A state of a root's catalog, signed: ``digest`` is of all its entries.

    ``time`` is when the origin signed it, in seconds since 1970.
    """

    inst: Token
    fence: Fence
    rev: Count
    time: float
    digest: Annotated[bytes, Field(min_length=32, max_length=32)]
    signature: Signature
