-- done_by_order: tell whether an order was carried out: its commit's answer may have been lost
select exists (
    select from {schema}.interventions
    where run_id = %(run_id)s and details ->> 'order_id' = %(order_id)s
) as was_done

-- amend_error: write what is known by now of how a step failed
update {schema}.agent_steps set error = %(error)s::json
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'error'

-- widen_cancellation: have a run undo what it did that is being cancelled without
update {schema}.agent_runs
set stop_requested = %(reason)s, version = version + 1, advance_due_at = clock_timestamp(),
    advance_hinted_at = clock_timestamp(), advance_hints = 0
where run_id = %(run_id)s and finished_at is null

-- pause_run: let a run begin nothing more; a decision made before is too old now
update {schema}.agent_runs set pause_requested = true, version = version + 1, updated_at = clock_timestamp()
where run_id = %(run_id)s and finished_at is null

-- resume_run: let a paused run go on
update {schema}.agent_runs
set pause_requested = false, version = version + 1, updated_at = clock_timestamp(),
    advance_due_at = greatest(not_before, clock_timestamp()), advance_hints = 0,
    advance_hinted_at = case when not_before is null or not_before <= clock_timestamp() then clock_timestamp() end
where run_id = %(run_id)s and finished_at is null

-- wake_paused: make a run's steps due that waited for it to be resumed
update {schema}.agent_steps
set next_attempt_at = null, waiting_reason = null, hinted_at = clock_timestamp(), hints = 0
where run_id = %(run_id)s and status = 'pending' and waiting_reason = %(reason)s
returning run_id, step_index, task_name, queue

-- read_ended_run: read how a run ended, and whether a later one of its conversation has begun since
select r.error, exists (
    select from {schema}.agent_runs l
    where l.tenant = r.tenant and l.conversation_id = r.conversation_id and l.run_id <> r.run_id
        and l.started_at > coalesce(r.started_at, r.finished_at)
) as has_successor
from {schema}.agent_runs r
where r.run_id = %(run_id)s

-- read_ended_steps: read a run's steps in order, with when they were asked for and had their outcome
select
    run_id, step_index, tool_name, tool_input, tool_output, error, status, attempt, idempotency_key, parent_index,
    call_index, waiting_reason, next_attempt_at, effect, subject_index, subject_tool, noted, key_generation, created_at,
    finished_at
from {schema}.agent_steps
where run_id = %(run_id)s
order by step_index

-- reopen_run: take up a run again that had ended; its time begins anew with its next claim
update {schema}.agent_runs
set budget = %(budget)s::jsonb, ending = %(ending)s::json, compensation = null, finished_at = null, error = null,
    outcome = null, result = null, stop_requested = null, pause_requested = false, waiting_reason = null,
    deadline_at = null, time_left_s = null, version = version + 1, advance_due_at = clock_timestamp(),
    advance_hinted_at = clock_timestamp(), advance_hints = 0, updated_at = clock_timestamp()
where run_id = %(run_id)s

-- reopen_step: let a step be tried again, under the same key, as if it had not been tried
update {schema}.agent_steps
set status = 'pending', claim_token = null, lease_until = null, finished_at = null, waiting_reason = null,
    next_attempt_at = null, quarantined = false, deaths = 0, hinted_at = clock_timestamp(), hints = 0
where run_id = %(run_id)s and step_index = %(step_index)s and status in ('error', 'skipped')
returning task_name, queue

-- lock_turn_holder: lock the run that has a conversation's turn, and tell whether it has begun
select r.run_id, r.started_at is not null as has_begun
from {schema}.conversations c
join {schema}.agent_runs r on r.run_id = c.turn_run_id
where c.tenant = %(tenant)s and c.conversation_id = %(conversation_id)s and r.run_id <> %(run_id)s
    and r.finished_at is null
for update of r

-- take_turn_back: give a conversation's turn to a reopened run, unless it has changed hands meanwhile
insert into {schema}.conversations (tenant, conversation_id, turn_run_id)
values (%(tenant)s, %(conversation_id)s, %(run_id)s)
on conflict (tenant, conversation_id) do update
set turn_run_id = excluded.turn_run_id, updated_at = clock_timestamp()
where conversations.turn_run_id is null or conversations.turn_run_id = %(run_id)s
    or conversations.turn_run_id = %(holder)s::uuid
    or not exists (
        select from {schema}.agent_runs h where h.run_id = conversations.turn_run_id and h.finished_at is null
    )

-- fork_run: begin a run anew, as a copy that has spent nothing
with forked as (
    insert into {schema}.agent_runs (
        run_id, tenant, user_id, agent, agent_version, queue, current_step, input_payload, input_hash, scratchpad, budget,
        fallback, on_failure, overrides, forked_from, flags, advance_due_at, advance_hinted_at
    )
    select %(fork_id)s, r.tenant, r.user_id, r.agent, coalesce(a.version, r.agent_version), coalesce(a.queue, r.queue),
        %(from_step)s - 1, r.input_payload, r.input_hash, %(scratchpad)s::json, r.budget, r.fallback, r.on_failure,
        %(overrides)s::json, r.run_id, r.flags, clock_timestamp(), clock_timestamp()
    from {schema}.agent_runs r
    left join lateral (
        select version, queue from {schema}.agents where name = r.agent order by registered_at desc limit 1
    ) a on true
    where r.run_id = %(run_id)s
    returning run_id, tenant, queue
), logged as (
    insert into {schema}.transitions (tenant, run_id, old, new, reason)
    select tenant, run_id, null, 'pending', 'forked' from forked
)
select run_id, queue from forked

-- copy_steps: copy the steps of a run before one of them, as they ended; the copies own no key and no effect
insert into {schema}.agent_steps (
    run_id, step_index, tenant, tool_name, tool_input, tool_output, error, status, idempotency_key, args_hash,
    agent_version, task_name, queue, effect, timeout_s, parent_index, call_index, bulkhead, subject_index, subject_tool,
    noted, flags, created_at, finished_at
)
select %(fork_id)s::uuid, step_index, tenant, tool_name, tool_input, tool_output, error, status,
    %(fork_id)s::uuid || ':' || step_index, args_hash, agent_version, task_name, queue, effect, timeout_s, parent_index,
    call_index, bulkhead, subject_index, subject_tool, noted, flags, created_at, finished_at
from {schema}.agent_steps
where run_id = %(run_id)s and step_index < %(from_step)s
