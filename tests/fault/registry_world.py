"""A broker with its publishers and subscribers, and all that may go wrong between them.

A model of leases stands beside the registry. Each note makes one more state of the world; what
a subscriber's directory tells must be one of them, and never an earlier one than before.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from caterva2.broker.leases import Registry
from caterva2.broker.record import Record
from caterva2.errors import Fenced, RootTaken
from caterva2.limits import DEFAULTS
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.root_directory import RootDirectory
from caterva2.wire.messages import (
    BrokerBeat,
    Register,
    RootBeat,
    RootsNote,
    RootUp,
    Snapshot,
    Unregister,
)

State = dict[RootName, RootInfo]
TTL = DEFAULTS.broker.lease_ttl
FOO, BAR = RootName("foo"), RootName("bar")
PUBLISHERS = [(FOO, "k"), (FOO, "k"), (FOO, ""), (BAR, ""), (BAR, "k")]
"""Root and key of each; those of one key may take a root over from each other."""
any_publisher = st.integers(0, len(PUBLISHERS) - 1)
any_subscriber = st.integers(0, 1)


@dataclass
class Holder:
    """Who holds a root, and until when."""

    request: Register
    fence: int
    peer: bytes
    expires: float


@dataclass
class Leases:
    """What a broker should know."""

    fences: dict[RootName, int] = field(default_factory=dict)
    holders: dict[RootName, Holder] = field(default_factory=dict)


@dataclass
class Publisher:
    root: RootName
    key: str
    inst: str
    peer: bytes
    fence: int = 0
    requests: list[Register] = field(default_factory=list)

    def request(self, takeover: bool) -> Register:
        made = Register(
            id=1, root=self.root, inst=self.inst, fence=self.fence, curve_key=self.key,
            endpoints=(f"tcp://{self.inst}:1",), takeover=takeover,
        )  # fmt: skip
        self.requests.append(made)
        return made


@dataclass
class Subscriber:
    directory: RootDirectory = field(default_factory=RootDirectory)
    notes: list[RootsNote] = field(default_factory=list)
    answer: list[Snapshot] | None = None
    at: int = 0
    """The first state of the world that its directory can be of."""


class RegistryWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.now = 0.0
        self.leases = Leases()
        self.saved: list[tuple[list[Record], Leases]] = [([], Leases())]
        self.states: list[State] = [{}]
        self.publishers = [
            Publisher(root, key, self._inst(), self._peer()) for root, key in PUBLISHERS
        ]
        self.subscribers = [Subscriber(), Subscriber()]
        self.registry = Registry("b0", (), 0.0)

    def _inst(self) -> str:
        return f"i{next(self.numbers)}"

    def _peer(self) -> bytes:
        return b"p%d" % next(self.numbers)

    # --- what the broker says ---

    def _tell(self, notes: list[RootsNote]) -> None:
        """Send notes to all, after the state was saved, as the broker does."""
        for note in notes:
            assert not isinstance(note, BrokerBeat)
            state = dict(self.states[-1])
            state.pop(note.root, None)
            if isinstance(note, RootUp):
                state[note.root] = RootInfo(**note.model_dump(include=set(RootInfo.model_fields)))
            self.states.append(state)
        if notes:
            self.saved.append((self.registry.dump(), copy.deepcopy(self.leases)))
        for subscriber in self.subscribers:
            subscriber.notes += notes

    def _expire(self, *only: RootName) -> None:
        for name, holder in list(self.leases.holders.items()):
            if holder.expires <= self.now and (not only or name in only):
                del self.leases.holders[name]

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def broker_beats(self) -> None:
        self._expire()
        self._tell(self.registry.expire(self.now))
        for subscriber in self.subscribers:
            subscriber.notes.append(self.registry.beat())

    @rule(back=st.sampled_from([0, 0, 0, 1, 3, 1000]))
    def broker_restarts(self, back: int) -> None:
        """With the state that it saved last, with an older one, or with none."""
        at = max(0, len(self.saved) - 1 - back)
        saved, leases = self.saved[at]
        self.leases = copy.deepcopy(leases)
        for holder in self.leases.holders.values():
            holder.peer, holder.expires = b"", self.now + TTL
        self.registry = Registry(f"b{next(self.numbers)}", saved, self.now)
        self.saved = self.saved[: at + 1]
        self.states.append(self._told())

    def _told(self) -> State:
        return {info.root: info for part in self.registry.snapshot(1) for info in part.roots}

    # --- what publishers do ---

    @rule(who=any_publisher, takeover=st.booleans(), heard=st.booleans())
    def publisher_registers(self, who: int, takeover: bool, heard: bool) -> None:
        publisher = self.publishers[who]
        fence = self._register(publisher.request(takeover), publisher.peer)
        if fence is not None and heard:  # else the answer was lost
            assert fence >= publisher.fence
            publisher.fence = fence

    @rule(who=any_publisher, which=st.integers(0, 5))
    def register_arrives_late(self, who: int, which: int) -> None:
        requests = self.publishers[who].requests
        if requests:
            self._register(requests[which % len(requests)], self._peer())

    def _register(self, request: Register, peer: bytes) -> int | None:
        self._expire(request.root)
        leases, held = self.leases, self.leases.holders.get(request.root)
        same_key = held is not None and held.request.curve_key == request.curve_key != ""
        if held is None or (held.request.inst != request.inst and request.takeover and same_key):
            expected = max(leases.fences.get(request.root, 0), request.fence) + 1
        elif held.request.inst == request.inst:
            expected = held.fence if request.fence <= held.fence else request.fence + 1
        else:
            self._is_refused(request, peer, held)
            return None
        granted, notes = self.registry.register(request, peer, self.now)
        assert granted.fence == expected >= leases.fences.get(request.root, 0)
        leases.fences[request.root] = expected
        leases.holders[request.root] = Holder(request, expected, peer, self.now + TTL)
        self._tell(notes)
        return granted.fence

    def _is_refused(self, request: Register, peer: bytes, held: Holder) -> None:
        try:
            granted, _ = self.registry.register(request, peer, self.now)
        except RootTaken as error:
            assert held.request.inst in error.detail
            assert held.request.endpoints[0] in error.detail
            assert error.info["lease_ms"] == int((held.expires - self.now) * 1000)
        else:
            raise AssertionError(f"{granted.inst} got what {held.request.inst} holds")

    @rule(who=any_publisher, forgets=st.booleans())
    def publisher_restarts(self, who: int, forgets: bool) -> None:
        """It died without a word; its next run may have lost what it had saved."""
        publisher = self.publishers[who]
        publisher.inst, publisher.peer = self._inst(), self._peer()
        if forgets:
            publisher.fence = 0

    @rule(who=any_publisher)
    def publisher_connects_anew(self, who: int) -> None:
        self.publishers[who].peer = self._peer()

    @rule(who=any_publisher)
    def publisher_is_heard(self, who: int) -> None:
        peer = self.publishers[who].peer
        self.registry.heard(peer, self.now)
        for holder in self.leases.holders.values():
            if holder.peer == peer:
                holder.expires = self.now + TTL

    @rule(who=any_publisher)
    def publisher_beats(self, who: int) -> None:
        publisher = self.publishers[who]
        held = self.leases.holders.get(publisher.root)
        holds = held is not None and (held.request.inst, held.fence) == (
            publisher.inst, publisher.fence
        )  # fmt: skip
        beat = RootBeat(root=publisher.root, inst=publisher.inst, fence=publisher.fence, rev=0)
        assert self.registry.admits(beat, self.now) == holds
        if held is not None and holds:
            held.expires = self.now + TTL

    @rule(who=any_publisher)
    def publisher_gives_back(self, who: int) -> None:
        publisher = self.publishers[who]
        request = Unregister(root=publisher.root, inst=publisher.inst, fence=publisher.fence)
        held = self.leases.holders.get(publisher.root)
        if held and (held.request.inst, held.fence) == (publisher.inst, publisher.fence):
            del self.leases.holders[publisher.root]
            self._tell(self.registry.unregister(request))
            return
        try:
            self.registry.unregister(request)
        except Fenced:
            return
        raise AssertionError("a root was given back by somebody who does not hold it")

    # --- the network ---

    @rule(
        who=any_subscriber,
        which=st.sampled_from([0, 0, 0, 0, 1, 2, -1]),
        fate=st.sampled_from(["arrives", "arrives", "arrives", "arrives twice", "is lost"]),
    )
    def note(self, who: int, which: int, fate: str) -> None:
        subscriber = self.subscribers[who]
        if not subscriber.notes:
            return
        at = which % len(subscriber.notes)
        note = subscriber.notes[at]
        if fate != "arrives twice":
            del subscriber.notes[at]
        if fate != "is lost":
            self._hear(subscriber, note)

    def _hear(self, subscriber: Subscriber, note: RootsNote) -> None:
        before = dict(subscriber.directory.roots)
        changed = subscriber.directory.note(note)
        after = subscriber.directory.roots
        assert changed == {name for name in before | after if before.get(name) != after.get(name)}
        for name in changed & before.keys():
            assert not isinstance(note, BrokerBeat)
            assert note.fence >= before[name].fence, "a late note displaced a newer holder"

    @rule(who=any_subscriber)
    def snapshot_is_made(self, who: int) -> None:
        subscriber = self.subscribers[who]
        if subscriber.directory.needs_snapshot and subscriber.answer is None:
            subscriber.answer = self.registry.snapshot(1)

    @rule(who=any_subscriber)
    def snapshot_arrives(self, who: int) -> None:
        subscriber = self.subscribers[who]
        if subscriber.answer is not None:
            subscriber.directory.snapshot(subscriber.answer)
            subscriber.answer = None

    @rule(who=any_subscriber)
    def subscriber_greets_the_broker_again(self, who: int) -> None:
        self.subscribers[who].directory.needs_snapshot = True

    # --- what must hold ---

    @rule()
    def all_is_quiet(self) -> None:
        """Beats and snapshots get through: all are in step, and late notes change nothing."""
        for subscriber in self.subscribers:
            directory = subscriber.directory
            if subscriber.answer is not None:
                directory.snapshot(subscriber.answer)
                subscriber.answer = None
            for _ in range(3):
                directory.note(self.registry.beat())
                if directory.needs_snapshot:
                    directory.snapshot(self.registry.snapshot(1))
            assert not directory.needs_snapshot
            assert directory.roots == self._told()
            for note in subscriber.notes:
                self._hear(subscriber, note)
            assert directory.roots == self._told()
            subscriber.notes.clear()

    @invariant()
    def the_registry_is_the_model(self) -> None:
        held = {
            name: (holder.request.inst, holder.fence, holder.request.endpoints)
            for name, holder in self.leases.holders.items()
        }
        told = {name: (i.inst, i.fence, i.endpoints) for name, i in self._told().items()}
        assert told.keys() >= held.keys()
        assert {name: told[name] for name in held} == held
        assert self._told() == self.states[-1]

    @invariant()
    def no_directory_goes_back(self) -> None:
        for subscriber in self.subscribers:
            roots = subscriber.directory.roots
            while self.states[subscriber.at] != roots:
                subscriber.at += 1
                assert subscriber.at < len(self.states), "this never was, or is long gone"
