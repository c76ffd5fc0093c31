"""The machine: what can happen to runs, messages, workers and time.

No rule has a precondition, so that what Hypothesis draws never depends on the database: a rule with nothing to act on
delivers messages instead.
"""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.stateful.attempt import POINTS
from tests.stateful.example import Example, one_of
from tests.stateful.fleet import Fleet
from tests.stateful.outside import Manner

AGENTS = (
    "only_charge",
    "only_pay",
    "only_send",
    "only_label",
    "only_book",
    "sharing",
    "cashier",
    "clerk",
    "ordering",
    "asking_first",
    "hiring",
    "all_in_a_row",
)
ORDERS = ("cancel", "pause", "pause", "resume", "retry", "fork")
PAUSES_S = (4.0, 10.0, 20.0, 20.0, 2000.0)
LEASE_S = 20.0
_agents = st.sampled_from(AGENTS)
_picks, _places, _numbers, _counts = st.integers(0, 5), st.integers(0, 2), st.integers(1, 2), st.integers(0, 2)
_manners = st.sampled_from([Manner.ANSWERED, Manner.ANSWERED, *Manner])
_points = st.sampled_from(POINTS)


class Machine(RuleBasedStateMachine):
    """One example, and the rules that move it."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.fleet, self.example = fleet, Example(fleet)

    @initialize(agents=st.lists(_agents, min_size=1, max_size=2), n=_numbers, ahead=_counts)
    def begin(self, agents: list[str], n: int, ahead: int) -> None:
        for agent in agents:
            self.example.submit(agent, n, talks=False)
        self.example.deliver_in_order(ahead)

    # --- runs, and the people around them

    @rule(agent=_agents, n=_numbers, talks=st.booleans(), ahead=_counts)
    def submit(self, agent: str, n: int, talks: bool, ahead: int) -> None:
        self.example.submit(agent, n, talks=talks)
        self.example.deliver_in_order(ahead)

    @rule(agent=st.sampled_from(["sharing", "hiring"]), n=_numbers, ahead=_counts)
    def submit_twins(self, agent: str, n: int, ahead: int) -> None:
        """Two runs that want the same thing done under one business key."""
        for _ in range(2):
            self.example.submit(agent, n, talks=False)
        self.example.deliver_in_order(ahead)

    @rule(pick=_picks, act=st.sampled_from(ORDERS), from_step=st.integers(0, 3), compensate=st.booleans())
    def order(self, pick: int, act: str, from_step: int, compensate: bool) -> None:
        """What an operator orders, and the first thing that happens then."""
        wanted = {"fork": {"from_step": from_step}, "cancel": {"compensate": compensate}}
        self.example.act(act, pick, **wanted.get(act, {}))
        self.example.deliver(pick, self.fleet.boots[0], Manner.ANSWERED)

    @rule(pick=_picks, gladly=st.booleans(), alters=st.booleans())
    def decide(self, pick: int, gladly: bool, alters: bool) -> None:
        if not self.example.asked:
            self.example.deliver_in_order(2)
            return
        asked = one_of(self.example.asked, pick)
        if alters and asked["kind"] == "call":
            self.example.people.alter(asked)
        self.example.people.decide(asked, gladly=gladly or alters)

    @rule(pick=_picks, again=st.booleans())
    def resolve(self, pick: int, again: bool) -> None:
        if self.example.doubts:
            self.example.people.resolve(one_of(self.example.doubts, pick), again=again)
        else:
            self.example.deliver_in_order(2)

    # --- messages and attempts

    @rule(pick=_picks, place=_places, manner=_manners, keep=st.booleans())
    def deliver(self, pick: int, place: int, manner: Manner, keep: bool) -> None:
        self.example.deliver(pick, self.fleet.boots[place], manner, keep=keep)

    @rule(pick=_picks, place=_places, manner=_manners, keep=st.booleans(), stop_at=_points)
    def deliver_and_hold(self, pick: int, place: int, manner: Manner, keep: bool, stop_at: str) -> None:
        self.example.deliver(pick, self.fleet.boots[place], manner, keep=keep, stop_at=stop_at)

    @rule(pick=_picks, place=_places, stop_at=_points, manner=_manners, then_at=st.none() | _points)
    def be_overtaken(self, pick: int, place: int, stop_at: str, manner: Manner, then_at: str | None) -> None:
        """One attempt stands still until its lease is over; another takes its place; the first one thaws."""
        frozen = self.fleet.boots[place]
        self.example.deliver(pick, frozen, manner, stop_at=stop_at)
        self.fleet.pass_time(LEASE_S, silent=frozen)
        other = self.fleet.boots[(place + 1) % len(self.fleet.boots)]
        other.sweeper.sweep()
        self.example.deliver(-1, other, manner, **({} if then_at is None else {"stop_at": then_at}))
        if self.fleet.held:
            self.example.go_on(self.fleet.held[0], None)

    @rule(pick=_picks, place=_places, stop_at=_points, manner=_manners)
    def deliver_twice_at_once(self, pick: int, place: int, stop_at: str, manner: Manner) -> None:
        first, second = self.fleet.boots[place], self.fleet.boots[0]
        self.example.deliver(pick, first, manner, keep=True, stop_at=stop_at)
        self.example.deliver(pick, second, manner, stop_at=stop_at)

    @rule(pick=_picks, place=_places, manner=_manners, crash_at=_points)
    def deliver_and_crash(self, pick: int, place: int, manner: Manner, crash_at: str) -> None:
        self.example.deliver(pick, self.fleet.boots[place], manner, crash_at=crash_at)

    @rule(count=_counts)
    def deliver_in_order(self, count: int) -> None:
        self.example.deliver_in_order(count + 1)

    @rule(pick=_picks)
    def lose_message(self, pick: int) -> None:
        if hints := self.fleet.post.hints:
            hints.remove(one_of(hints, pick))

    @rule(pick=_picks, manner=_manners, knows=st.booleans(), stop_at=st.none() | _points)
    def go_on(self, pick: int, manner: Manner, knows: bool, stop_at: str | None) -> None:
        if not self.fleet.held:
            self.example.deliver(pick, self.fleet.boots[0], manner)
            return
        self.fleet.world.manner, self.fleet.world.knows = manner, knows
        self.example.go_on(one_of(self.fleet.held, pick), stop_at)

    @rule(pick=_picks, is_reported=st.booleans())
    def crash(self, pick: int, is_reported: bool) -> None:
        if not self.fleet.held:
            self.example.deliver(pick, self.fleet.boots[0], Manner.ANSWERED, crash_at=one_of(POINTS, pick))
        else:
            one_of(self.fleet.held, pick).crash()
        for boot in self.fleet.boots if is_reported else ():
            self.fleet.report_dead_children(boot)

    @rule(pick=_picks)
    def arrive_late(self, pick: int) -> None:
        if self.fleet.world.under_way:
            self.fleet.world.arrive(one_of(self.fleet.world.under_way, pick))
        else:
            self.example.deliver(pick, self.fleet.boots[0], Manner.LATE)

    # --- workers and time

    @rule(place=_places)
    def kill_worker(self, place: int) -> None:
        self.fleet.kill(place)

    @rule(seconds=st.sampled_from(PAUSES_S), silent=st.none() | _places, sweeps=st.booleans())
    def pass_time(self, seconds: float, silent: int | None, sweeps: bool) -> None:
        self.fleet.pass_time(seconds, silent=None if silent is None else self.fleet.boots[silent])
        if sweeps:
            self.fleet.boots[1 if silent == 0 else 0].sweeper.sweep()

    # --- what must hold

    @invariant()
    def every_rule_holds(self) -> None:
        self.example.look()

    def teardown(self) -> None:
        # What went wrong before is what is told of.
        if sys.exc_info()[0] is None:
            self.example.come_to_an_end()
        for attempt in self.fleet.held:
            attempt.crash()
