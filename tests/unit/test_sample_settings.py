"""Sample files of settings: complete, equal to the defaults, valid, and found."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from caterva2 import config
from caterva2.cli.documents import samples
from caterva2.config.limits import GROUPS, ranges

SHOWN = list(samples.settings(samples.sample()))


@pytest.mark.parametrize("section", config.SECTIONS)
def test_the_sample_has_each_setting_its_default_and_what_it_is(section: str) -> None:
    fields = config.SECTIONS[section].model_fields
    known = {field.alias or name: field for name, field in fields.items()}
    shown = {each.name: each for each in SHOWN if each.section == section}
    assert shown.keys() == known.keys()
    for name, each in shown.items():
        assert each.text, f"[{section}] {name}: a comment behind it says what it is"
        value = tomllib.loads(f"it = {each.value}")["it"]
        if each.is_default:
            assert value == known[name].default, f"[{section}] {name}"
        else:
            assert known[name].default in (None, ""), f"[{section}] {name} has a default: show it"


def test_the_sample_has_each_limit() -> None:
    shown = {(each.section, each.name) for each in SHOWN if each.section.startswith("limits.")}
    assert shown == {(f"limits.{group}", name) for group in GROUPS for name in ranges(group)}


def test_the_standalone_sample_is_of_services_that_find_each_other(tmp_path: Path) -> None:
    path = tmp_path / "caterva2.toml"
    path.write_text(samples.sample(samples.STANDALONE))
    broker, publisher, subscriber, client = (
        config.load(kind, path) for kind in config.SECTIONS.values()
    )
    assert isinstance(broker, config.BrokerSettings)
    assert isinstance(publisher, config.PublisherSettings)
    assert isinstance(subscriber, config.SubscriberSettings)
    assert isinstance(client, config.ClientSettings)
    assert publisher.broker == subscriber.broker == broker.endpoint
    assert client.subscriber == f"http://{subscriber.http}"
    assert len({broker.statedir, publisher.statedir, subscriber.statedir}) == 3
    assert (publisher.name, publisher.root) == ("climate", "/data/climate")
