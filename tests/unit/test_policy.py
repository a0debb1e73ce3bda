"""The access policy, and the settings that define it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caterva2 import config
from caterva2.accounts import oidc, settings
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Audience, Policy
from caterva2.config import SubscriberSettings
from caterva2.errors import ConfigError
from caterva2.limits import DEFAULTS
from caterva2.model import User
from caterva2.names import RootName

ANN = User("1", "ann@example.com", False)
BOB = User("2", "bob@example.com", False)
SUPER = User("3", "super@example.com", True)
LIST = frozenset({Email("ann@example.com")})


@pytest.mark.parametrize(
    ("readers", "may"),
    [
        ("public", {None, ANN, BOB, SUPER}),
        ("users", {ANN, BOB, SUPER}),
        (LIST, {ANN}),
        (frozenset(), set()),
    ],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_users_who_may_read_a_published_root(
    readers: Audience, may: set[User | None], by_name: bool
) -> None:
    foo = RootName("foo")
    policy = Policy("public", {foo: readers}) if by_name else Policy(readers)
    assert {who for who in (None, ANN, BOB, SUPER) if policy.may_read(who, foo)} == may


@pytest.mark.parametrize("default", ["public", "users", LIST])
@pytest.mark.parametrize(
    ("root", "readers"),
    [("@public", {None, ANN, BOB}), ("@shared", {ANN, BOB}), ("@personal", {ANN, BOB})],
)
def test_special_roots_have_rules_of_their_own(
    default: Audience, root: str, readers: set[User | None]
) -> None:
    policy, name = Policy(default), RootName(root)
    everybody = (None, ANN, BOB)
    assert {who for who in everybody if policy.may_read(who, name)} == readers


# --- what the configuration says ---


def _load(directory: Path, text: str, ident: str = "") -> SubscriberSettings:
    file = directory / "c.toml"
    file.write_text(text)
    return config.load(SubscriberSettings, file, ident=ident)


def test_readers_are_read_from_the_file(tmp_path: Path) -> None:
    text = """
        [subscriber]
        read = "users"
        [subscriber.roots.open]
        read = "public"
        [subscriber.roots."a.b"]
        read = ["Ann@Example.com"]
    """
    made = settings.policy(_load(tmp_path, text))
    assert made == Policy("users", {RootName("open"): "public", RootName("a.b"): LIST})


def test_groups_stand_for_their_users_where_users_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "caterva2.toml"
    file.write_text(
        '[subscriber]\nread = ["group:lab", "Super@Example.com"]\nwrite = ["group:lab"]\n'
        '[subscriber.groups]\nlab = ["ann@example.com"]\nempty = []\n'
        '[subscriber.roots.foo]\nread = ["group:empty"]\n'
    )
    policy = settings.policy(config.load(SubscriberSettings, file))
    users = (ANN, BOB, SUPER)
    assert [policy.may_read(user, RootName("other")) for user in users] == [True, False, True]
    assert [policy.may_read(user, RootName("foo")) for user in users] == [False, False, False]
    assert [policy.may_write(user) for user in users] == [True, False, False]
    assert policy.lists(Email("ann@example.com"))
    assert not policy.lists(Email("bob@example.com"))
    assert all(map(Policy().may_write, users))


OIDC = "[subscriber.oidc]\nissuer = 'https://id.example'\nclient_id = 'cat2'\n"


def test_groups_of_a_provider_count_beside_those_of_the_settings(tmp_path: Path) -> None:
    text = (
        "[subscriber]\nread = ['group:lab']\nwrite = ['group:/w', 'bob@example.com']\n"
        "[subscriber.groups]\nlab = ['ann@example.com']\n"
    )
    given = f"{OIDC}groups_claim = 'groups'\n"
    policy = settings.policy(_load(tmp_path, text + given))
    member = replace(BOB, groups=frozenset({"lab", "none"}))
    writer = replace(SUPER, groups=frozenset({"/w", "public", "users"}))
    users = (ANN, BOB, member, writer)
    assert [policy.may_read(user, RootName("r")) for user in users] == [True, False, True, False]
    assert [policy.may_write(user) for user in users] == [False, True, True, True]
    named = frozenset({"group:lab"})
    assert [policy.is_among(user, named) for user in users] == [True, False, True, False]
    assert not policy.may_watch(member)
    without = settings.policy(_load(tmp_path, text.replace("'group:/w', ", "") + OIDC))
    assert not without.may_read(member, RootName("r"))  # the claim is not used any more
    assert not without.is_among(member, named)
    with pytest.raises(ConfigError, match="no group '/w'"):
        settings.policy(_load(tmp_path, text + OIDC))
    with pytest.raises(ConfigError, match="no group 'a b'"):
        settings.policy(_load(tmp_path, text.replace("/w", "a b") + given))
    with pytest.raises(ConfigError, match="register = true lets strangers"):
        _load(tmp_path, f"[subscriber]\nregister = true\n{given}")


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        (["lab", "/phys/x", "lab"], {"lab", "/phys/x"}),
        ("lab", {"lab"}),
        (["a b", "a,b", "", "*", "x" * 65, "n\n", 7, None, ["lab"], {"a": 1}, True], set()),
        ("lab other", set()),
        (None, set()),
        ({"lab": 1}, set()),
        ([f"g{number}" for number in range(300)], {f"g{number}" for number in range(256)}),
    ],
)
def test_groups_of_a_login_are_few_short_texts(claim: object, found: set[str]) -> None:
    assert oidc.groups({"groups": claim}, "groups") == found
    assert oidc.groups({"groups": claim}, "") == oidc.groups({}, "groups") == frozenset()
    assert oidc.groups({"": claim}, "") == frozenset()


def test_one_of_several_subscribers_may_have_other_readers(tmp_path: Path) -> None:
    text = """
        [subscriber.roots.foo]
        read = "users"
        [subscriber.far]
        read = "users"
        [subscriber.far.roots.foo]
        read = ["ann@example.com"]
    """
    assert settings.policy(_load(tmp_path, text)) == Policy("public", {RootName("foo"): "users"})
    far = settings.policy(_load(tmp_path, text, "far"))
    assert far == Policy("users", {RootName("foo"): LIST})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("read = 'all'", "read"),
        ("read = ['ann']", "not an e-mail address"),
        ("read = ['group:none']", "no group 'none'"),
        ("write = ['group:none']", "no group 'none'"),
        ("[subscriber.groups]\nlab = ['x']", "groups. lab: not an e-mail"),
        ("maxusers = -1", "maxusers"),
        ("[subscriber.oidc]\nissuer = 'https://id.example'", "oidc.client_id"),
        ("oidc = {issuer = 'https://i.d', client_id = 'c', scope = 'email'}", "oidc.scope"),
        ("maxuser = 1", "did you mean 'maxusers'"),
        ("registering = true", "did you mean 'register'"),
        ("[subscriber.roots.foo]\nraed = 'users'", "roots.foo"),
        ("[subscriber.roots.'a b']\nread = 'users'", "not a root name"),
        ("[subscriber.roots.'@shared']\nread = 'users'", "@shared has readers that can't be set"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings.policy(_load(tmp_path, f"[subscriber]\n{text}\n"))


@pytest.mark.parametrize(
    "text", ["login = true", "register = true", "read = 'users'", "roots.foo.read = 'users'"]
)
def test_what_needs_accounts_is_refused_without_a_secret(tmp_path: Path, text: str) -> None:
    given = _load(tmp_path, f"[subscriber]\n{text}\n")
    with pytest.raises(ConfigError, match="CATERVA2_SECRET is not set"):
        settings.options(given, "")
    assert settings.options(given, "secret") is not None


@pytest.mark.parametrize("text", ["register = true", "read = ['a@b.c']", "write = ['a@b.c']"])
def test_what_needs_accounts_is_refused_with_login_off(tmp_path: Path, text: str) -> None:
    given = _load(tmp_path, f"[subscriber]\nlogin = false\n{text}\n")
    with pytest.raises(ConfigError, match="login is false"):
        settings.options(given, "secret")


@pytest.mark.parametrize("issuer", ["http://id.example", "id.example", "https://", "ftp://x", ""])
def test_a_provider_is_asked_by_https_only(tmp_path: Path, issuer: str) -> None:
    text = f"[subscriber.oidc]\nissuer = '{issuer}'\nclient_id = 'cat2'\n"
    with pytest.raises(ConfigError, match="issuer: write https"):
        settings.options(_load(tmp_path, text), "secret")


def test_a_provider_needs_accounts_and_keeps_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATERVA2_OIDC_SECRET", "not shown")
    text = "[subscriber.oidc]\nissuer = 'https://id.example'\nclient_id = 'cat2'\n"
    given = _load(tmp_path, text)
    with pytest.raises(ConfigError, match="oidc needs accounts"):
        settings.options(given, "")
    made = settings.options(given, "secret")
    assert made is not None
    assert made.oidc is not None
    assert (made.oidc.label, made.oidc.secret, made.oidc.create) == (
        "id.example",
        "not shown",
        False,
    )
    assert "not shown" not in repr(made.oidc)


def test_the_secret_switches_accounts_on() -> None:
    assert settings.options(SubscriberSettings(), "") is None
    made = settings.options(SubscriberSettings(), "secret")
    assert made is not None
    assert (made.secret, made.register, made.maxusers) == (
        b"secret",
        False,
        DEFAULTS.accounts.users,
    )
    assert "secret" not in repr(made)


def test_login_may_be_off_beside_a_secret() -> None:
    assert settings.options(SubscriberSettings(login=False), "secret") is None
