"""The machine of the outbox: its moves, and what must hold in each of its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.machine import Move
from tests.model.outbox.relaying import relaying
from tests.model.outbox.state import NOBODY, Guards, Message, Relay, State, killed, with_message, with_relay


@dataclass(frozen=True)
class OutboxMachine:
    """As many relays as processes."""

    processes: int = 2
    faults: int = 2
    messages: int = 2
    guards: Guards = field(default_factory=Guards)

    def start(self) -> State:
        """Return messages that are all due."""
        return State((Message(),) * self.messages, (Relay(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that relays, sweepers, people and faults may do."""
        for place, relay in enumerate(state.relays):
            if not relay.frozen:
                yield from relaying(state, place, relay, self.guards)
            yield from _strike(state, place, relay)
        for number, message in enumerate(state.messages):
            if self.guards.recovery and message.status in {"claimed", "sending"}:
                yield from self._take_back(state, number, message)
            if message.status == "doubt":
                found = "sent" if message.arrived else "pending"
                yield Move(f"a person looks for message {number}: {found}", with_message(state, number, status=found))

    def _take_back(self, state: State, number: int, message: Message) -> Iterator[Move]:
        holder = state.relays[message.relay] if message.relay != NOBODY else None
        is_lost = holder is None or holder.frozen
        if not is_lost and not state.faults:
            return
        back = "pending" if message.status == "claimed" else "doubt"
        if self.guards.timer and holder is not None and holder.doing in {"sending", "handed"}:
            # Its timer killed it before the lease was over.
            state = killed(state, message.relay)
        state = with_message(state, number, status=back, relay=NOBODY)
        state = state._replace(doubts=state.doubts + (back == "doubt"), faults=state.faults - (not is_lost))
        yield Move(f"message {number} is taken back: {back}", state, is_fault=not is_lost)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: a message twice, or said to be sent and not there, or more doubts than faults."""
        if any(each.arrived > 1 for each in state.messages):
            return "a message has arrived twice"
        if any(each.status == "sent" and not each.arrived for each in state.messages):
            return "a message is sent, and never arrived"
        if state.doubts > self.faults - state.faults:
            return "one fault left more than one message in doubt"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether all messages are sent."""
        return all(each.status == "sent" for each in state.messages)


def _strike(state: State, place: int, relay: Relay) -> Iterator[Move]:
    if relay.frozen:
        yield Move(f"relay {place} thaws", with_relay(state, place, frozen=False), is_fault=True)
    if relay.doing == "idle" or not state.faults:
        return
    left = state._replace(faults=state.faults - 1)
    yield Move(f"relay {place} ({relay.doing}) is killed", killed(left, place), is_fault=True)
    if not relay.frozen and sum(each.frozen for each in state.relays) < len(state.relays) - 1:
        yield Move(f"relay {place} ({relay.doing}) is frozen", with_relay(left, place, frozen=True), is_fault=True)
