"""Owns the passing of time: every moment that the engine compares with the clock moves back, in the rows."""

from __future__ import annotations

from collections.abc import Sequence

_MOMENTS = {
    "agent_steps": ("lease_until", "next_attempt_at", "hinted_at", "claimed_at"),
    "agent_runs": ("deadline_at", "advance_due_at", "advance_hinted_at", "updated_at", "not_before"),
    "approvals": ("expires_at",),
    "turns": ("held_until",),
    "workers": ("unbroken_since",),
}
_SILENT = """
    update agentflow.workers set heartbeat_at = heartbeat_at - make_interval(secs => {seconds}),
        unbroken_since = clock_timestamp()
    where worker_id <> all(array[{beating}]::uuid[]);
"""
_BEATING = """
    update agentflow.workers set heartbeat_at = clock_timestamp() where worker_id = any(array[{beating}]::uuid[]);
"""
# By when a verification may say that nothing arrives any more stands in its arguments.
_SETTLED = """
    update agentflow.agent_steps set tool_input = jsonb_set(
        tool_input::jsonb, '{{settled_at}}',
        to_jsonb((tool_input ->> 'settled_at')::timestamptz - make_interval(secs => {seconds}))
    )::json
    where tool_name = 'verify' and status in ('pending', 'running');
"""


def statements(seconds: float, beating: Sequence[str]) -> str:
    """Return what lets so much time pass, in which these workers beat and no others."""
    named = ", ".join(f"'{worker_id}'" for worker_id in beating)
    moved = [_moved(table, columns, seconds) for table, columns in _MOMENTS.items()]
    later = [each.format(seconds=seconds, beating=named) for each in (_SILENT, _BEATING, _SETTLED)]
    return "".join([*moved, *later])


def _moved(table: str, columns: Sequence[str], seconds: float) -> str:
    earlier = ", ".join(f"{each} = {each} - make_interval(secs => {seconds})" for each in columns)
    return f"update agentflow.{table} set {earlier};"
