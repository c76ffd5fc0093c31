"""What a relay does with its batch: one message after the other, each committed as being sent."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.machine import Move
from tests.model.outbox.state import NOBODY, Guards, Relay, State, with_message, with_relay


def relaying(state: State, place: int, relay: Relay, guards: Guards) -> Iterator[Move]:
    """Return the moves of a relay that is not frozen."""
    match relay.doing:
        case "idle" if any(each.status == "pending" for each in state.messages):
            yield Move(f"relay {place} claims a batch", _claimed(state, place))
        case "batch":
            yield from _turn_to_next(state, place, relay, guards)
        case "sending":
            number = relay.rest[0]
            arrived = state.messages[number].arrived + 1
            handed = with_relay(with_message(state, number, arrived=arrived), place, doing="handed")
            yield Move(f"relay {place} hands message {number} over", handed)
        case "handed":
            yield Move(f"relay {place} records message {relay.rest[0]}", _recorded(state, place, relay, guards))


def _turn_to_next(state: State, place: int, relay: Relay, guards: Guards) -> Iterator[Move]:
    if not relay.rest:
        yield Move(f"relay {place} has nothing left", with_relay(state, place, doing="idle"))
    elif _is_ours(state, place, relay.rest[0], guards):
        sending = _committed(with_relay(state, place, doing="sending"), relay, guards)
        yield Move(f"relay {place} turns to message {relay.rest[0]}", sending)
    else:
        lost = with_relay(state, place, rest=relay.rest[1:])
        yield Move(f"relay {place} finds message {relay.rest[0]} taken back", lost)


def _is_ours(state: State, place: int, number: int, guards: Guards) -> bool:
    return state.messages[number].relay == place or not guards.token


def _committed(state: State, relay: Relay, guards: Guards) -> State:
    if not guards.sending:
        return state
    for number in relay.rest[:1] if guards.one_by_one else relay.rest:
        state = with_message(state, number, status="sending")
    return state


def _recorded(state: State, place: int, relay: Relay, guards: Guards) -> State:
    after = with_relay(state, place, doing="batch", rest=relay.rest[1:])
    if not _is_ours(state, place, relay.rest[0], guards):
        return after
    return with_message(after, relay.rest[0], status="sent", relay=NOBODY)


def _claimed(state: State, place: int) -> State:
    due = tuple(number for number, each in enumerate(state.messages) if each.status == "pending")
    for number in due:
        state = with_message(state, number, status="claimed", relay=place)
    return with_relay(state, place, doing="batch", rest=due)
