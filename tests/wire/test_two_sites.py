"""The commands by which docs/security.md brings two sites together"""

from __future__ import annotations

import asyncio
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from keyedworld import CONTENT, MARKED, is_up
from wiretools import ANY, until

from caterva2.broker.service import Broker, BrokerOptions
from caterva2.cli import parsers
from caterva2.cli.cat2keys import main
from caterva2.names import RootName
from caterva2.publisher.service import Publisher, PublisherOptions
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire.auth.service_keys import KeyOptions

PARSERS = {"bro": parsers.cat2bro, "pub": parsers.cat2pub, "sub": parsers.cat2sub}
TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
PART = TEXT.partition("## Two sites in five commands")[2].partition("\n## ")[0]
CLIMATE = RootName("climate")


def test_five_commands_bring_two_sites_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", PART, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) == 5
    printed = ""
    for line in lines:
        shown = line.replace("KEY", printed.split()[-1] if printed else "")
        program, *arguments = shlex.split(shown.replace("ADDRESS", "data.example:8000"))
        assert program == "cat2keys"
        assert main(arguments) == 0
        printed = capsys.readouterr().out or printed
    invited = tomllib.loads(printed)
    assert invited["broker"] == "data.example:8000"
    keys = KeyOptions(broker_key=invited["broker_key"])

    def opened() -> MemorySource:
        source = MemorySource()
        source.put(MARKED, CONTENT)
        return source

    async def run() -> None:
        at_a = KeyOptions(broker_key=invited["broker_key"], allowed=tmp_path / "bro/allowed")
        async with Broker.serving(BrokerOptions(ANY, ANY, ANY, tmp_path / "bro")) as broker:
            options = PublisherOptions(CLIMATE, broker.endpoint, ANY, None, tmp_path / "pub", at_a)
            reader = SubscriberOptions(broker.endpoint, tmp_path / "sub", keys=keys)
            async with (
                Publisher.serving(options, opened),
                Subscriber.serving(reader) as subscriber,
            ):
                await until(lambda: is_up(subscriber, CLIMATE))
                assert list(await subscriber.entries(CLIMATE)) == [MARKED]

    asyncio.run(run())


def test_the_services_of_two_sites_start_with_the_keys_that_were_made() -> None:
    (block,) = re.findall(r"```text\n(.*?)```", PART, re.DOTALL)
    lines = [line.split() for line in block.replace("HOST", "10.0.0.1").splitlines()]
    made = [
        parser().parse_args(line[1:]) for parser, line in zip(PARSERS.values(), lines, strict=True)
    ]
    assert [line[0].removeprefix("cat2") for line in lines] == list(PARSERS)
    assert [options.statedir for options in made] == list(PARSERS)
