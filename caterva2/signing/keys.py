"""The Ed25519 key with which an origin signs, and the file that it lives in.

The library for the signatures is loaded when the first one is made or checked.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from caterva2.errors import CatervaError, StartError
from caterva2.model import Signer
from caterva2.names import RootName
from caterva2.runtime import statefile
from caterva2.signing import statements
from caterva2.wire.auth.keys import checked, first_made, read_private

FILE = "signing-key"
"""In the state directory of a publisher."""
FORMAT = 2
_LOST = "restore it from a backup, or remove it and give readers the new one"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; the secret half appears in no text.

    ``public`` is written in hexadecimal, ``secret`` has the 32 bytes. ``signers`` are what readers
    of a root are sent, this key first: it, and the one before, say of each other that they sign for
    the same origin of this root.
    """

    public: str
    secret: bytes = field(repr=False)
    root: RootName | None = None
    signers: tuple[Signer, ...] = ()

    def of(self, root: RootName) -> SigningKey:
        """Return this key with what it says of itself for a root, maybe one of several."""
        if root == self.root:
            return self
        return dataclasses.replace(self, root=root, signers=(_signer(root, self.public, self),))

    def signing(self) -> Callable[[bytes], bytes]:
        """Return the function that signs; it may be called from any thread."""
        return _signing(self.secret)

    def successor(self, root: RootName) -> SigningKey:
        """Return a new key: of both, each says that the other signs for the origin of a root."""
        made = make()
        signers = _signer(root, made.public, self, follows=True), _signer(root, self.public, made)
        return dataclasses.replace(made, root=root, signers=signers)


def _signing(secret: bytes) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(secret).sign


def _signer(root: RootName, key: str, by: SigningKey, *, follows: bool = False) -> Signer:
    signature = by.signing()(statements.signer(root, key, follows))
    return Signer(key=key, by=by.public, follows=follows, signature=signature)


def _is_of(root: RootName, one: Signer) -> bool:
    return signed_by([one.by], one.signature, statements.signer(root, one.key, one.follows))


def make() -> SigningKey:
    """Return a new pair, of the random numbers of the system."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    return SigningKey(made.public_key().public_bytes_raw().hex(), made.private_bytes_raw())


def check(key: SigningKey, path: Path) -> None:
    """Raise `StartError` if the halves of a key that was read do not belong together."""
    if not signed_by([key.public], key.signing()(b"check"), b"check"):
        raise StartError(f"key {path} is damaged: {_LOST}")


@functools.lru_cache(maxsize=256)
def _public(key: str) -> Callable[[bytes, bytes], None]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify


def signed_by(keys: Iterable[str], signature: bytes, statement: bytes) -> bool:
    """Return whether one of some public keys signed a statement."""
    from cryptography.exceptions import InvalidSignature

    for key in keys:
        try:
            _public(key)(signature, statement)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def endorsed(
    root: RootName, trusted: frozenset[str], signers: Iterable[Signer], *, formers: bool = False
) -> frozenset[str]:
    """Return trusted keys with those that one of them says take its place for a root.

    With ``formers`` also with the ones before; else a key that counts no more never comes back.
    """
    new = {
        one.key
        for one in signers
        if one.by in trusted
        and one.key not in trusted
        and (one.follows or formers)
        and _is_of(root, one)
    }
    return trusted | new


# --- the file ---


def write(path: Path, key: SigningKey) -> None:
    """Replace a key's file durably; only its owner can read it.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    signers = [one.model_dump(mode="json") for one in key.signers]
    content = {"secret": key.secret.hex(), "public": key.public, "signers": signers}
    content["root"] = str(key.root or "")
    statefile.write(path, FORMAT, content)


def read(path: Path) -> SigningKey | None:
    """Read a key's file; None if there is none.

    Raises
    ------
    StartError
        If others may read it, or it is damaged: readers know the key, so none is made instead.
    """
    content = read_private(path, FORMAT)
    if content is None:
        return None
    try:
        signers = tuple(Signer.model_validate(x, strict=False) for x in content["signers"])
        public = content["public"] if "public" in content else signers[0].key  # format 1
        root = RootName(content["root"]) if content.get("root") else None
        key = SigningKey(checked(public), bytes.fromhex(content["secret"]), root, signers)
        if len(key.secret) != 32:
            raise ValueError(path)
    except (CatervaError, ValueError, LookupError, TypeError, AttributeError):
        raise StartError(f"key {path} is damaged: {_LOST}") from None
    return key


def read_or_make(path: Path, root: RootName) -> SigningKey:
    """Read a key's file, or make it with a new key at the first start, to sign for a root.

    Raises
    ------
    StartError
        If it can't be read, used or written.
    """
    return first_made(path, read, lambda: make().of(root), write).of(root)
