"""The data of deleted users goes, though the subscriber was killed before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import accountworld
import numpy as np
import pytest
from accountworld import ANN, WORD
from specialworld import World

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.identity import Email
from caterva2.accounts.store import AccountStore
from caterva2.model import User


@pytest.mark.parametrize("failing", [False, True], ids=["killed", "and the disk fails once"])
def test_a_kill_after_the_account_is_gone_leaves_no_data(
    tmp_path: Path, failing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    users = accountworld.World(tmp_path)
    personal = tmp_path / "spaces/personal"
    idents: list[str] = []

    async def killed(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        bob = await accounts.add("bob@example.com", WORD)
        async with World.running(tmp_path / "spaces") as world:
            for user in (ann, bob):
                await world.upload(user, "@personal/x.b2nd", np.arange(3))
        idents[:] = [ann.ident, bob.ident]
        with closing(AccountStore(users.path)) as store:
            store.delete(Email(ANN))

    async def started(accounts: Accounts) -> None:
        async def fails(_: User) -> None:
            raise OSError("the disk fails")

        async with World.running(tmp_path / "spaces") as world:
            if failing:
                accounts.on_delete = [fails]
                await accounts.end_deletions()
                assert "ann@example.com can't be removed: the disk fails" in caplog.text
                assert len(list(personal.iterdir())) == 2
            accounts.on_delete = [world.special.forget]
            await accounts.end_deletions()
            assert [path.name for path in personal.iterdir()] == idents[1:]
            accounts.on_delete = [fails]
            await accounts.end_deletions()  # there is none any more

    users.run(killed)
    users.run(started)
    assert caplog.text.count("can't be removed") == failing


def test_the_note_of_a_deletion_ends_with_it(tmp_path: Path) -> None:
    users = accountworld.World(tmp_path)
    seen: list[list[str]] = []

    async def work(accounts: Accounts) -> None:
        async def look(_: User) -> None:
            with closing(AccountStore(users.path)) as store:
                seen.append([user.email for user in store.deleted()])

        accounts.on_delete = [look]
        await accounts.add(ANN, WORD)
        await accounts.delete(ANN)
        with closing(AccountStore(users.path)) as store:
            assert (seen, store.deleted()) == ([[ANN]], [])

    users.run(work)
