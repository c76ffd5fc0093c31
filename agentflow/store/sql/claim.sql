-- lock_run (prepared): lock a run, alone, and read what a decision has to know of it
select
    r.run_id, r.tenant, r.agent, r.agent_version, r.queue, r.status, r.user_id, r.conversation_id,
    r.input_payload, r.scratchpad, r.budget, r.spent_attempts, r.spent_tool_calls, r.spent_tokens, r.spent_cost_usd,
    r.reserved_tokens, r.reserved_cost_usd,
    r.version, r.current_step, r.waiting_reason, r.stop_requested, r.pause_requested, r.deadline_at, r.time_left_s,
    r.created_at, r.fallback, r.on_failure, r.ending, r.compensation, r.overrides,
    r.forked_from, r.notify, clock_timestamp() as now
from {schema}.agent_runs r
where r.run_id = %(run_id)s
for update of r

-- has_turn (prepared): tell whether it is the run's turn in its conversation
select coalesce(
    (select c.turn_run_id = %(run_id)s from {schema}.conversations c
     where c.tenant = %(tenant)s and c.conversation_id = %(conversation_id)s),
    false
) as has_turn

-- lock_step (prepared): lock a step, after its run, and read it with its fence
select
    run_id, step_index, tool_name, tool_input, tool_output, error, status, attempt, idempotency_key, business_key,
    args_hash, effect, timeout_s, queue, task_name, parent_index, call_index, claim_token, worker_id, worker_pid,
    claimed_at, lease_until, next_attempt_at, waiting_reason, quarantined, deaths, tenant, bulkhead, reserved_tokens,
    reserved_cost_usd, subject_index, subject_tool, person, settle_s, verify_after, unconfirmed, key_generation
from {schema}.agent_steps
where run_id = %(run_id)s and step_index = %(step_index)s
for update

-- insert_key (prepared): take a generation of an idempotency key that nobody holds
insert into {schema}.idempotency_records (tenant, tool, key, generation, run_id, step_index, args_hash, status)
values (%(tenant)s, %(tool)s, %(key)s, %(generation)s, %(run_id)s, %(step_index)s, %(args_hash)s, 'in_flight')
on conflict do nothing

-- set_key_generation (prepared): note under which generation of its key a step is sent
update {schema}.agent_steps set key_generation = %(generation)s
where run_id = %(run_id)s and step_index = %(step_index)s

-- lock_key (prepared): lock an idempotency record and read it
select run_id, step_index, args_hash, status, output, generation from {schema}.idempotency_records
where tenant = %(tenant)s and tool = %(tool)s and key = %(key)s
order by generation desc limit 1
for update

-- hold_run (prepared): lock a run, by a statement of its own
select from {schema}.agent_runs where run_id = %(run_id)s for update

-- lock_step_of_run (prepared): lock a step whose run is locked; read both, all its steps, and whether its bulkhead is paused
select
    r.run_id, r.tenant, r.agent, r.agent_version, r.queue, r.status, r.user_id, r.conversation_id,
    r.input_payload, r.scratchpad, r.budget, r.spent_attempts, r.spent_tool_calls, r.spent_tokens, r.spent_cost_usd,
    r.reserved_tokens, r.reserved_cost_usd,
    r.version, r.current_step, r.waiting_reason, r.stop_requested, r.pause_requested, r.deadline_at, r.time_left_s,
    r.created_at, r.fallback, r.on_failure, r.ending, r.compensation, r.overrides,
    r.forked_from, r.notify, clock_timestamp() as now,
    (select h.reason from {schema}.holds h where h.bulkhead = s.bulkhead) as held,
    s.run_id as s_run_id, s.step_index as s_step_index, s.tool_name as s_tool_name, s.tool_input as s_tool_input,
    s.tool_output as s_tool_output, s.error as s_error, s.status as s_status, s.attempt as s_attempt,
    s.idempotency_key as s_idempotency_key, s.business_key as s_business_key, s.args_hash as s_args_hash, s.effect
    as s_effect, s.timeout_s as s_timeout_s, s.queue as s_queue, s.task_name as s_task_name, s.parent_index as
    s_parent_index, s.call_index as s_call_index, s.claim_token as s_claim_token, s.worker_id as s_worker_id,
    s.worker_pid as s_worker_pid, s.claimed_at as s_claimed_at, s.lease_until as s_lease_until, s.next_attempt_at as
    s_next_attempt_at, s.waiting_reason as s_waiting_reason, s.quarantined as s_quarantined, s.deaths as s_deaths,
    s.tenant as s_tenant, s.bulkhead as s_bulkhead, s.reserved_tokens as s_reserved_tokens, s.reserved_cost_usd as
    s_reserved_cost_usd, s.subject_index as s_subject_index, s.subject_tool as s_subject_tool, s.person as s_person,
    s.settle_s as s_settle_s, s.verify_after as s_verify_after, s.unconfirmed as s_unconfirmed, s.key_generation as
    s_key_generation,
    (
        select json_agg(h order by h.step_index) from (
            select
                o.run_id, o.step_index, o.tool_name, o.tool_input, o.tool_output, o.error, o.status, o.attempt,
                o.idempotency_key, o.parent_index, o.call_index, o.waiting_reason, o.next_attempt_at, o.effect,
                o.subject_index, o.subject_tool, o.noted, o.key_generation
            from {schema}.agent_steps o
            where o.run_id = r.run_id
        ) h
    ) as history
from {schema}.agent_runs r
join {schema}.agent_steps s on s.run_id = r.run_id
where r.run_id = %(run_id)s and s.step_index = %(step_index)s
for update of s

-- lock_again (prepared): lock a claimed step whose run is locked, and read of both what may have changed since the claim
select
    r.status, r.version, r.current_step, r.scratchpad, r.budget, r.spent_attempts, r.spent_tool_calls, r.spent_tokens,
    r.spent_cost_usd, r.reserved_tokens, r.reserved_cost_usd, r.waiting_reason, r.stop_requested, r.pause_requested,
    r.deadline_at, r.time_left_s, r.ending, r.compensation, clock_timestamp() as now,
    (select h.reason from {schema}.holds h where h.bulkhead = %(bulkhead)s) as held,
    s.status as s_status, s.attempt as s_attempt, s.claim_token as s_claim_token, s.worker_id as s_worker_id,
    s.lease_until as s_lease_until, s.claimed_at as s_claimed_at, s.next_attempt_at as s_next_attempt_at,
    s.waiting_reason as s_waiting_reason, s.error as s_error, s.unconfirmed as s_unconfirmed,
    s.quarantined as s_quarantined, s.deaths as s_deaths, s.reserved_tokens as s_reserved_tokens,
    s.reserved_cost_usd as s_reserved_cost_usd, s.key_generation as s_key_generation
from {schema}.agent_runs r
join {schema}.agent_steps s on s.run_id = r.run_id
where r.run_id = %(run_id)s and s.step_index = %(step_index)s
for update of s

-- expect_unchanged (prepared): lock a run, then a claimed step; fail (22012) unless they are as the claim left them
select 1 / (
    select count(*) from (
        select from {schema}.agent_runs r
        join {schema}.agent_steps s on s.run_id = r.run_id
        where r.run_id = %(run_id)s and r.version = %(version)s and r.status = 'running' and r.waiting_reason is null
            and r.stop_requested is null and not r.pause_requested and r.ending is null
            and r.deadline_at is not distinct from %(deadline_at)s
            and r.spent_attempts = %(attempts)s and r.spent_tool_calls = %(tool_calls)s
            and r.spent_tokens = %(spent_tokens)s and r.spent_cost_usd = %(spent_cost_usd)s
            and r.reserved_tokens = %(tokens)s and r.reserved_cost_usd = %(cost_usd)s
            and s.step_index = %(step_index)s and s.status = 'running'
            and s.attempt = %(attempt)s and s.claim_token = %(claim_token)s
            and not exists (select from {schema}.holds h where h.bulkhead = %(bulkhead)s)
        for update of r, s
    ) same
)

-- insert_claimed (prepared): add a step to a locked run that one attempt has already, with its log
with now as materialized (
    select clock_timestamp() as at
), added as (
    insert into {schema}.agent_steps (
        run_id, step_index, tenant, tool_name, tool_input, idempotency_key, business_key, args_hash, agent_version,
        task_name, queue, effect, timeout_s, parent_index, call_index, bulkhead, settle_s, verify_after, status, attempt,
        claim_token, worker_id, worker_pid, claimed_at, lease_until, hinted_at, reserved_tokens, reserved_cost_usd
    )
    select
        %(run_id)s, %(step_index)s, %(tenant)s, %(tool_name)s, %(input)s::json, %(idempotency_key)s, %(business_key)s,
        %(args_hash)s, %(agent_version)s, %(task_name)s, %(queue)s, %(effect)s, %(timeout_s)s, %(parent_index)s,
        %(call_index)s, %(bulkhead)s, %(settle_s)s, %(verify_after)s, 'running', %(attempt)s, %(claim_token)s,
        %(worker_id)s, %(worker_pid)s, now.at, now.at + make_interval(secs => %(lease_s)s), now.at, %(tokens)s, %(cost_usd)s
    from now
)
insert into {schema}.attempts (
    run_id, step_index, attempt, tenant, claim_token, worker_id, worker_pid, status, started_at
)
select
    %(run_id)s, %(step_index)s, %(attempt)s, %(tenant)s, %(claim_token)s, %(worker_id)s, %(worker_pid)s, 'running', now.at
from now

-- claim_step (prepared): hand a locked, pending step to one attempt of one worker
with claimed as (
    update {schema}.agent_steps
    set status = 'running', attempt = %(attempt)s, claim_token = %(claim_token)s, worker_id = %(worker_id)s,
        worker_pid = %(worker_pid)s, claimed_at = %(claimed_at)s, lease_until = %(lease_until)s,
        next_attempt_at = null, waiting_reason = null, hinted_at = clock_timestamp(), hints = 0,
        reserved_tokens = %(tokens)s, reserved_cost_usd = %(cost_usd)s
    where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'
    returning run_id, step_index, attempt, tenant, claim_token, worker_id, worker_pid, claimed_at
), logged as (
    insert into {schema}.attempts (
        run_id, step_index, attempt, tenant, claim_token, worker_id, worker_pid, status, started_at
    )
    select run_id, step_index, attempt, tenant, claim_token, worker_id, worker_pid, 'running', claimed_at from claimed
)
update {schema}.agent_runs r
set spent_attempts = r.spent_attempts + case when %(is_clearing)s then 0 else 1 end,
    spent_tool_calls = r.spent_tool_calls + case when %(is_tool_call)s and claimed.attempt = 1 then 1 else 0 end,
    reserved_tokens = r.reserved_tokens + %(tokens)s, reserved_cost_usd = r.reserved_cost_usd + %(cost_usd)s,
    started_at = coalesce(r.started_at, %(claimed_at)s), deadline_at = %(deadline_at)s, updated_at = clock_timestamp()
from claimed
where r.run_id = claimed.run_id and r.run_id = %(run_id)s

-- look_at_step (prepared): read what the gate has to know of a step, before it is claimed
select s.run_id, s.step_index, s.status, s.tool_name, s.tool_input, s.args_hash, s.attempt, s.bulkhead, s.hinted_at,
    s.waiting_reason, s.subject_tool, s.timeout_s, r.agent, r.user_id, r.pause_requested as is_paused,
    s.next_attempt_at is null or s.next_attempt_at <= clock_timestamp() as is_due,
    (select h.reason from {schema}.holds h where h.bulkhead = s.bulkhead) as held
from {schema}.agent_steps s
join {schema}.agent_runs r on r.run_id = s.run_id
where s.run_id = %(run_id)s and s.step_index = %(step_index)s

-- cached_output (prepared): read what the same call came to earlier in the same run
select tool_output from {schema}.agent_steps
where run_id = %(run_id)s and tool_name = %(tool)s and args_hash = %(args_hash)s and status = 'ok'
order by step_index limit 1

-- earlier_failures (prepared): count how a step's earlier attempts failed, since an operator retried its run where one did
select error ->> 'kind' as kind, (error ->> 'credential_generation')::bigint as generation, count(*) as failures
from {schema}.attempts
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'retried'
    and started_at > coalesce(
        (select max(i.at) from {schema}.interventions i where i.run_id = %(run_id)s and i.act = 'retried'), '-infinity'
    )
group by 1, 2

-- start_clock: give a run its deadline that has claimed nothing yet
update {schema}.agent_runs
set deadline_at = clock_timestamp() + make_interval(secs => (budget ->> 'time_s')::float), updated_at = clock_timestamp()
where run_id = %(run_id)s and deadline_at is null and time_left_s is null

-- park_step: leave a pending step until a time, without an attempt
update {schema}.agent_steps
set next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), waiting_reason = %(reason)s,
    hinted_at = null, hints = 0
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'

-- park_denied (prepared): park a step that the gate has denied, unless it was woken since it was looked at
update {schema}.agent_steps
set next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), waiting_reason = %(reason)s,
    hinted_at = null, hints = 0
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'
    and hinted_at is not distinct from %(hinted_at)s

-- settle_unclaimed: end a pending step without a call of its own
update {schema}.agent_steps
set status = %(status)s, tool_output = %(output)s::json, error = %(error)s::json, finished_at = clock_timestamp(),
    waiting_reason = null, next_attempt_at = null
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'

-- request_stop: ask a run to stop, for a reason
update {schema}.agent_runs
set stop_requested = coalesce(stop_requested, %(reason)s), pause_requested = false, advance_due_at = clock_timestamp(),
    advance_hinted_at = clock_timestamp(), advance_hints = 0, version = version + 1
where run_id = %(run_id)s and finished_at is null

-- note_settled (prepared): count a step on the run that was settled without a call
update {schema}.agent_runs
set version = version + 1, current_step = greatest(current_step, %(step_index)s), advance_due_at = clock_timestamp(),
    advance_hinted_at = clock_timestamp(), advance_hints = 0, updated_at = clock_timestamp()
where run_id = %(run_id)s
