"""Owns the database's own witness: a trigger that notes each change of a step as it is made, with its run's state.

It sees what several changes in one move would hide, and under the locks of the transaction that makes the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Seen = Mapping[str, Any]

DDL = """
    create table public.seen (
        id bigserial primary key, run_id uuid, step_index int, tool text, old text, new text, old_attempt int,
        new_attempt int, result_changed boolean, run_status text, paused boolean, stopping boolean, has_turn boolean,
        person text, approved boolean, retried boolean
    );
    create function public.witness() returns trigger language plpgsql as $$
    begin
        insert into public.seen (
            run_id, step_index, tool, old, new, old_attempt, new_attempt, result_changed, run_status, paused, stopping,
            has_turn, person, approved, retried
        )
        select new.run_id, new.step_index, new.tool_name, old.status, new.status, old.attempt, new.attempt,
            old.tool_output::text is distinct from new.tool_output::text, r.status, r.pause_requested,
            r.stop_requested is not null or r.ending is not null,
            r.conversation_id is null or exists (
                select from agentflow.conversations c
                where c.tenant = r.tenant and c.conversation_id = r.conversation_id and c.turn_run_id = r.run_id
            ),
            new.person,
            exists (
                select from agentflow.approvals a where a.run_id = new.run_id and a.step_index = new.step_index
                    and a.status = 'approved' and a.args_hash = new.args_hash
            ),
            exists (select from agentflow.interventions i where i.run_id = new.run_id and i.act = 'retried')
        from agentflow.agent_runs r where r.run_id = new.run_id;
        return null;
    end $$;
    create trigger witness after update on agentflow.agent_steps for each row
        when (old.status is distinct from new.status or old.attempt is distinct from new.attempt
            or old.tool_output::text is distinct from new.tool_output::text)
        execute function public.witness();
"""

_WAYS = {
    "pending": {"running", "ok", "error", "skipped"},
    "running": {"ok", "error", "pending", "in_doubt"},
    "in_doubt": {"ok", "error", "pending"},
    "error": {"pending"},
    "skipped": {"pending"},
}
_ENGINE_OWN = {"verify", "compensate", "approval"}


def violations(seen: Sequence[Seen]) -> list[str]:
    """Return what no step may go through."""
    return [f"{each['tool']} of {each['run_id']}:{each['step_index']} {what}" for each in seen for what in _wrong(each)]


def _wrong(seen: Seen) -> list[str]:
    old, new = seen["old"], seen["new"]
    wrong = []
    if new not in _WAYS.get(old, ()):
        wrong.append(f"went from {old} to {new}")
    if old in {"error", "skipped"} and not seen["retried"]:
        wrong.append(f"went from {old} to {new}, and no person has retried its run")
    if seen["new_attempt"] != seen["old_attempt"] + (1 if (old, new) == ("pending", "running") else 0):
        wrong.append(f"went from attempt {seen['old_attempt']} to {seen['new_attempt']} on its way to {new}")
    if old in {"ok", "error", "skipped"} and seen["result_changed"]:
        wrong.append("had a result, and got another one")
    return wrong + (_wrong_claim(seen) if new == "running" else [])


def _wrong_claim(seen: Seen) -> list[str]:
    own = seen["tool"] in _ENGINE_OWN
    refusals = {
        "in a run that is over": seen["run_status"] in {"done", "failed", "cancelled"},
        "in a paused run": seen["paused"],
        "in a run that ends": seen["stopping"] and not own,
        "when it was not its run's turn": not seen["has_turn"] and not own,
        "without an approval of these arguments": seen["person"] is not None and not seen["approved"],
        "though it only waits for a person": seen["tool"] == "approval",
    }
    return [f"was claimed {what}" for what, holds in refusals.items() if holds]
