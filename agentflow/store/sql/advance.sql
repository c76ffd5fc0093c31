-- lock_fresh_run (prepared): lock a run that has no step yet, and whose first may be decided on now
select
    r.run_id, r.tenant, r.agent, r.agent_version, r.queue, r.status, r.user_id, r.conversation_id,
    r.input_payload, r.scratchpad, r.budget, r.spent_attempts, r.spent_tool_calls, r.spent_tokens, r.spent_cost_usd,
    r.reserved_tokens, r.reserved_cost_usd,
    r.version, r.current_step, r.waiting_reason, r.stop_requested, r.pause_requested, r.deadline_at, r.time_left_s,
    r.created_at, r.fallback, r.on_failure, r.ending, r.compensation, r.overrides,
    r.forked_from, r.notify, clock_timestamp() as now, array(select h.bulkhead from {schema}.holds h) as held
from {schema}.agent_runs r
where r.run_id = %(run_id)s and r.status = 'pending' and r.current_step = -1 and r.advance_due_at <= clock_timestamp()
    and r.conversation_id is null and r.stop_requested is null and not r.pause_requested and r.ending is null
for update of r

-- read_run (prepared): read a run without locking it
select
    r.run_id, r.tenant, r.agent, r.agent_version, r.queue, r.status, r.user_id, r.conversation_id,
    r.input_payload, r.scratchpad, r.budget, r.spent_attempts, r.spent_tool_calls, r.spent_tokens, r.spent_cost_usd,
    r.reserved_tokens, r.reserved_cost_usd,
    r.version, r.current_step, r.waiting_reason, r.stop_requested, r.pause_requested, r.deadline_at, r.time_left_s,
    r.created_at, r.fallback, r.on_failure, r.ending, r.compensation, r.overrides,
    r.forked_from, r.notify, r.not_before, r.not_before is null or r.not_before <= clock_timestamp() as is_due
from {schema}.agent_runs r
where r.run_id = %(run_id)s

-- read_steps (prepared): read a run's steps in order
select
    run_id, step_index, tool_name, tool_input, tool_output, error, status, attempt, idempotency_key, parent_index,
    call_index, waiting_reason, next_attempt_at, effect, subject_index, subject_tool, noted,
    key_generation
from {schema}.agent_steps
where run_id = %(run_id)s
order by step_index

-- read_earlier_steps (prepared): read the steps of the runs that had their turn before this one's, in the order of their turns
select
    s.run_id, s.step_index, s.tool_name, s.tool_input, s.tool_output, s.error, s.status, s.attempt, s.idempotency_key,
    s.parent_index, s.call_index, s.waiting_reason, s.next_attempt_at, s.effect, s.subject_index, s.subject_tool, s.noted,
    s.key_generation
from {schema}.agent_runs o
join {schema}.agent_runs r on r.tenant = o.tenant and r.conversation_id = o.conversation_id
join {schema}.agent_steps s on s.run_id = r.run_id
where o.run_id = %(run_id)s and o.tenant = %(tenant)s and r.run_id <> o.run_id
    and r.started_at < coalesce(o.started_at, clock_timestamp())
order by r.started_at, r.run_id, s.step_index

-- take_turn (prepared): give a free turn to the first run in line
with first as (
    select run_id from {schema}.agent_runs
    where tenant = %(tenant)s and conversation_id = %(conversation_id)s and finished_at is null
    order by created_at, run_id limit 1
)
insert into {schema}.conversations (tenant, conversation_id, turn_run_id)
select %(tenant)s, %(conversation_id)s, first.run_id from first
on conflict (tenant, conversation_id) do update
set turn_run_id = excluded.turn_run_id, updated_at = clock_timestamp()
where conversations.turn_run_id is null or not exists (
    select from {schema}.agent_runs h where h.run_id = conversations.turn_run_id and h.finished_at is null
)

-- wait_for_turn (prepared): leave a run until its conversation's turn is passed to it
update {schema}.agent_runs
set advance_due_at = null, advance_hinted_at = null, waiting_reason = 'conversation_turn',
    updated_at = clock_timestamp()
where run_id = %(run_id)s and status = 'pending' and version = %(version)s
    and not exists (
        select from {schema}.conversations c
        where c.tenant = agent_runs.tenant and c.conversation_id = agent_runs.conversation_id
            and c.turn_run_id = agent_runs.run_id
    )

-- postpone_advance (prepared): come back to a run later
update {schema}.agent_runs
set advance_due_at = clock_timestamp() + make_interval(secs => %(after_s)s), advance_hinted_at = null,
    advance_hints = 0
where run_id = %(run_id)s and finished_at is null
