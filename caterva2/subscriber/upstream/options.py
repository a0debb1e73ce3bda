"""Options of an upstream: where it is, with which token, and who may read its roots here."""

from __future__ import annotations

import os
import ssl
import stat
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from caterva2.accounts import readers
from caterva2.accounts.readers import Readers
from caterva2.config import SubscriberSettings
from caterva2.errors import ConfigError, StartError
from caterva2.wire.networks import is_loopback

_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """The URL of another subscriber, the files of a token and of certificates, and the readers.

    ``readers`` may read here what not everybody may read there; None leaves it at the user of the
    token.
    """

    url: str
    token_file: Path | None = None
    ca_file: str = ""
    readers: Readers | None = None

    @classmethod
    def of(cls, settings: SubscriberSettings) -> Self | None:
        """Return the options for some settings, None without an upstream.

        Raises
        ------
        ConfigError
            If a token would travel unprotected, or a reader is none.
        """
        if not settings.upstream:
            return None
        url, named = settings.upstream.rstrip("/"), settings.upstream_readers
        made = cls(
            url,
            Path(settings.upstream_token_file) if settings.upstream_token_file else None,
            settings.upstream_ca_file,
            readers.parse(named, "[subscriber] upstream_readers") if named else None,
        )
        if made.token_file and url.startswith("http:") and not made.is_near:
            raise ConfigError(f"[subscriber] upstream = {url!r} shows the token to all: use https")
        return made

    @property
    def is_near(self) -> bool:
        """Whether the upstream is on this machine; then no proxy is asked."""
        host = urllib.parse.urlsplit(self.url).hostname or ""
        return is_loopback(host) or host == "localhost"

    def token(self) -> str:
        """Read the token; empty without a file.

        Raises
        ------
        StartError
            If the file can't be read, others may read it, or it holds anything else.
        """
        if self.token_file is None:
            return ""
        try:
            # To open a FIFO that nothing writes to would wait for ever.
            with open(os.open(self.token_file, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                kind = os.fstat(file.fileno()).st_mode
                content = file.read(_TOKEN_BYTES) if stat.S_ISREG(kind) else b""
        except OSError as error:
            raise StartError(f"{self.token_file} can't be read: {error.strerror}") from None
        mode = stat.S_IMODE(kind)
        if mode & 0o077:
            raise StartError(
                f"{self.token_file} has mode {mode:04o}, so others can use the token in it: "
                f"chmod 600 {self.token_file}"
            )
        token = content.strip()
        if not token or not token.isascii() or any(byte <= 32 or byte == 127 for byte in token):
            raise StartError(f"{self.token_file} holds no token")
        return token.decode("ascii")

    def certificates(self) -> ssl.SSLContext:
        """Return what the upstream's certificate is verified with: the system's CAs, or a file.

        An upstream without TLS shows none, so none is believed: the system's take 20 ms to load.

        Raises
        ------
        StartError
            If the file can't be used.
        """
        if self.url.startswith("http:") and not self.ca_file:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"upstream_ca_file {self.ca_file} can't be used: {error}") from None
