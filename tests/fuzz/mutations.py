"""Changes of bytes at random, such as those of damage and of forgery."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

BYTES = (0, 1, 0x20, 0x7F, 0x80, 0xC1, 0xFF)
NUMBERS = (0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**64 - 1)
TEXTS = (
    *(str(n).encode() for n in (0, -1, 1.5, *NUMBERS, 10**30, 1e308)),
    b"nan", b"null", b'""', b"[]", b"{}", b"..", b"/", b"\0", b"\r\n", b"\xff", "é\u202e".encode(),
)  # fmt: skip
MOST = 2**16
"""Bytes of what is made."""
_NUMBER = re.compile(rb"[0-9]+")


def mutants(seeds: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """Yield changed seeds without an end."""
    while True:
        made = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            made = _changed(made, seeds, rng)
        yield made[:MOST]


def _position(data: bytes, rng: random.Random) -> int:
    """Choose a position, seldom one among the zeros of which files have many."""
    at = 0
    for _ in range(8):
        at = rng.randint(0, len(data))
        if data[at : at + 1] != b"\0":
            break
    return at


def _changed(data: bytes, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    at = _position(data, rng)
    end = min(at + rng.choice((0, 1, 2, 4, 8, 32, 512)), len(data))
    match rng.randrange(8):
        case 0:
            return data[:at] + bytes([rng.choice((*BYTES, rng.randrange(256)))]) + data[at + 1 :]
        case 1:
            flipped = data[at : at + 1] and bytes([data[at] ^ 1 << rng.randrange(8)])
            return data[:at] + flipped + data[at + 1 :]
        case 2:
            width = rng.choice((2, 4, 8))
            number = rng.choice(NUMBERS) % 2 ** (8 * width)
            order = "little" if rng.random() < 0.5 else "big"
            return data[:at] + number.to_bytes(width, order) + data[at + width :]
        case 3:
            return data[:at] + data[end:]
        case 4:
            return data[:at] + data[at:end] * rng.choice((2, 3, 100)) + data[end:]
        case 5:
            return data[:at] + rng.choice(TEXTS) + data[end:]
        case 6:
            other = rng.choice(seeds)
            return data[:at] + other[rng.randint(0, len(other)) :]
        case _:
            numbers = list(_NUMBER.finditer(data))
            found = rng.choice(numbers).span() if numbers else (at, at)
            return data[: found[0]] + rng.choice(TEXTS) + data[found[1] :]
