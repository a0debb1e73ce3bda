"""Worlds in which anything may happen at any time: Hypothesis looks for what breaks them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from tests.fault.catalog_world import CatalogWorld
from tests.fault.registry_world import RegistryWorld
from tests.fault.replica_world import ReplicaWorld

taken: Counter[str] = Counter()
"""Steps and examples of the run."""
WORLDS: dict[str, tuple[type[RuleBasedStateMachine], int, int]] = {
    "registry": (RegistryWorld, 10, 1500),
    "catalog": (CatalogWorld, 10, 1500),
    "replica": (ReplicaWorld, 3, 250),
}
"""Machine, and examples of an everyday and of a long run."""


def counted(world: type[RuleBasedStateMachine]) -> type[RuleBasedStateMachine]:
    """A machine that counts what it does."""

    class Counted(world):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            taken["examples"] += 1

        @invariant()
        def one_more_step(self) -> None:
            taken["steps"] += 1

    return Counted


def run(world: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        counted(world),
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("world", WORLDS)
def test_whatever_happens_a_world_keeps_its_promises(world: str) -> None:
    machine, examples, _ = WORLDS[world]
    run(machine, examples, 50)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", WORLDS)
def test_whatever_happens_for_minutes_a_world_keeps_its_promises(world: str) -> None:
    machine, _, examples = WORLDS[world]
    taken.clear()
    run(machine, examples, 80)
    print(f"{world}: {taken['steps']} steps, {taken['examples']} examples")
