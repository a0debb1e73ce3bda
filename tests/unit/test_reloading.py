"""Settings that are read again while a service runs, and those that are not."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2 import config
from caterva2.accounts import settings as account_settings
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import CurrentPolicy, Policy
from caterva2.cli.reloading import Reload
from caterva2.config import SubscriberSettings
from caterva2.errors import ConfigError
from caterva2.model import User
from caterva2.names import RootName

ANN = User("1", "ann@example.com", superuser=False)
FOO = RootName("foo")
NAMES = ("http", "loglevel")


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("INFO")
    yield
    logging.getLogger().setLevel("WARNING")


class Started:
    """A subscriber's settings and policy as of its start."""

    def __init__(self, conf: Path | None, *, accounts: bool = True, **given: str) -> None:
        options = argparse.Namespace(
            conf=conf, id="", **dict.fromkeys(NAMES, None) | dict(given.items())
        )
        settings = config.load(
            SubscriberSettings, conf, {name: getattr(options, name) for name in NAMES}
        )
        self.policy = CurrentPolicy(account_settings.policy(settings))
        self.accounts = accounts
        self.reload = Reload(settings, options, NAMES, self._apply, ("read", "roots"))

    def _apply(self, settings: SubscriberSettings) -> None:
        account_settings.check_rights(settings, self.accounts)
        self.policy.replace(account_settings.policy(settings))

    def everybody_reads(self) -> bool:
        return self.policy.may_read(None, FOO)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text('[subscriber]\nread = "users"\n')
    return path


def test_read_rights_and_the_log_level_change(conf: Path) -> None:
    started = Started(conf)
    assert not started.everybody_reads()
    conf.write_text('[subscriber]\nloglevel = "error"\n')
    started.reload()
    assert started.everybody_reads()
    assert logging.getLogger().level == logging.ERROR


def test_rights_of_a_root_change(conf: Path) -> None:
    started = Started(conf)
    assert started.policy.may_read(ANN, FOO)
    assert not started.policy.lists(Email("bob@example.com"))
    conf.write_text('[subscriber.roots.foo]\nread = ["bob@example.com"]\n')
    started.reload()
    assert not started.policy.may_read(ANN, FOO)
    assert started.policy.lists(Email("bob@example.com"))


@pytest.mark.parametrize(
    "text",
    ["[subscriber", '[subscriber]\nraed = "public"\n', '[subscriber]\nread = "anybody"\n',
     '[subscriber]\nread = ["no address"]\nloglevel = "error"\n', "[limits.wire]\ncredit = -1\n",
     '[subscriber]\n[subscriber.roots."../x"]\nread = "public"\n', "\ud800"],
)  # fmt: skip
def test_an_error_in_the_file_leaves_everything(conf: Path, text: str) -> None:
    started = Started(conf)
    conf.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ConfigError):
        started.reload()
    assert not started.everybody_reads()
    assert logging.getLogger().level == logging.INFO


def test_a_file_that_vanished_opens_no_root(conf: Path) -> None:
    started = Started(conf)
    conf.unlink()
    with pytest.raises(ConfigError, match=r"c\.toml does not exist"):
        started.reload()
    assert not started.everybody_reads()


def test_the_default_file_that_vanished_opens_no_root(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(conf.parent)
    conf.rename("caterva2.toml")
    started = Started(None)
    assert not started.everybody_reads()
    Path("caterva2.toml").unlink()
    with pytest.raises(ConfigError, match=r"caterva2\.toml does not exist"):
        started.reload()


def test_rights_without_accounts_are_refused(conf: Path) -> None:
    """They would not hold before a restart."""
    conf.write_text("")
    started = Started(conf, accounts=False)
    conf.write_text('[subscriber]\nread = "users"\n')
    with pytest.raises(ConfigError, match="read needs accounts, but the subscriber was started"):
        started.reload()


def test_the_command_line_stays_before_the_file(conf: Path) -> None:
    started = Started(conf, loglevel="info")
    conf.write_text('[subscriber]\nloglevel = "error"\n')
    started.reload()
    assert logging.getLogger().level == logging.INFO


def test_what_needs_a_restart_is_named(conf: Path, caplog: pytest.LogCaptureFixture) -> None:
    started = Started(conf)
    conf.write_text('[subscriber]\nread = "users"\nquota = "1GB"\nhttp = "127.0.0.1:1"\n')
    started.reload()
    assert "reloaded loglevel, read, roots" in caplog.text
    assert "a restart is needed for changes of http, quota" in caplog.text


def test_a_policy_in_force_is_replaced() -> None:
    policy = CurrentPolicy(Policy())
    assert policy.may_read(None, FOO)
    policy.replace(Policy("users"))
    assert not policy.may_read(None, FOO)
    assert policy.may_read(ANN, FOO)
