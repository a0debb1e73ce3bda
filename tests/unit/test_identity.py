"""Addresses and passwords that are accepted or refused."""

from __future__ import annotations

import pytest

from caterva2.accounts.identity import Email, Password
from caterva2.errors import BadAccount
from caterva2.limits import constants


@pytest.mark.parametrize(
    "text", ["a@b.c", "t.u+x@u-v.example.com", "o'hara@example.org", "1@2.io", "a" * 64 + "@b.c"]
)
def test_an_address_is_kept(text: str) -> None:
    assert Email(text) == text


def test_an_address_means_the_same_in_capitals() -> None:
    assert Email("Ann@Example.COM") == "ann@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "", "ann", "ann@", "@b.c", "a@b", "a b@c.d", "a@b..c", "a@-b.c", "a@b-.c", ".a@b.c",
        "a.@b.c", "a..b@c.d", "a@b.c\n", "a@b.c\x00", "a@b@c.d", "é@b.c", "a@é.c", "<a@b.c>",
        "a" * 65 + "@b.c", "a@" + "b." * 130 + "c", "\u212a@b.c",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(BadAccount, match="not an e-mail address") as caught:
        Email(text)
    assert not text or text not in str(caught.value)


def test_a_password_of_the_least_length_is_taken() -> None:
    assert Password("12345678").bytes == b"12345678"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1234567", "less than 8 characters"),
        ("x" * (constants.PASSWORD_BYTES + 1), "more than 1024 bytes"),
        ("1234567\ud800", "not valid Unicode"),
    ],
)
def test_a_password_that_can_not_be_is_refused_without_telling_it(text: str, why: str) -> None:
    with pytest.raises(BadAccount, match=why) as caught:
        Password(text)
    assert text not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert "12345678" not in repr(Password("12345678"))
