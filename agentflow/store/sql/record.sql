-- finish_step (prepared): write the outcome of the attempt that holds the fence
update {schema}.agent_steps
set status = %(status)s, tool_output = %(output)s::json, error = %(error)s::json, flags = %(flags)s::text[],
    finished_at = case when %(status)s = 'in_doubt' then null else clock_timestamp() end, lease_until = null,
    waiting_reason = %(waiting_reason)s, noted = %(noted)s::json, unconfirmed = %(unconfirmed)s::json
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s
    and claim_token = %(claim_token)s and status in ('running', 'in_doubt')

-- succeed_step (prepared): write the answer of the attempt that holds the fence, and its end into the call log
with logged as (
    update {schema}.attempts
    set status = 'ok', error = null, ended_at = coalesce(ended_at, clock_timestamp()),
        latency_ms = coalesce(%(latency_ms)s, latency_ms)
    where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s
)
update {schema}.agent_steps
set status = 'ok', tool_output = %(output)s::json, error = null, flags = %(flags)s::text[],
    finished_at = clock_timestamp(), lease_until = null, waiting_reason = null, noted = %(noted)s::json, unconfirmed = null
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s
    and claim_token = %(claim_token)s and status = 'running'

-- settle_doubt: end a step's doubt; without its token, so that what its attempt records later is refused
update {schema}.agent_steps
set status = %(status)s, tool_output = %(output)s::json, error = %(error)s::json, noted = %(noted)s::json,
    flags = flags || %(flags)s::text[], unconfirmed = null, claim_token = null, waiting_reason = null,
    finished_at = clock_timestamp()
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'in_doubt'

-- retry_doubtful: let a step be tried again that certainly did not happen
update {schema}.agent_steps
set status = 'pending', error = %(error)s::json, unconfirmed = null, claim_token = null, waiting_reason = %(reason)s,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), hints = 0,
    hinted_at = case when %(after_s)s = 0 and not quarantined then clock_timestamp() end
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'in_doubt'

-- leave_to_person: let a person say what became of a step that its verification could not tell of
update {schema}.agent_steps set waiting_reason = 'in_doubt', error = %(error)s::json
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'in_doubt'

-- skip_verification: drop the verification of a step that has its outcome
update {schema}.agent_steps
set status = 'skipped', finished_at = clock_timestamp(), waiting_reason = null, next_attempt_at = null
where run_id = %(run_id)s and subject_index = %(step_index)s and tool_name = 'verify' and status = 'pending'

-- next_index: read the index that a run's next step gets
select coalesce(max(step_index) + 1, 0) as step_index from {schema}.agent_steps where run_id = %(run_id)s

-- note_inserted: count a step that the engine has added: a decision made before it is too old now
update {schema}.agent_runs
set version = version + 1, current_step = greatest(current_step, %(step_index)s), updated_at = clock_timestamp()
where run_id = %(run_id)s

-- late_results: read what attempts came to whose record was refused
select step_index, late_result from {schema}.attempts
where run_id = %(run_id)s and late_result is not null
order by step_index, attempt

-- mark_key: change what is known of a step's idempotency key
update {schema}.idempotency_records set status = %(status)s, updated_at = clock_timestamp()
where run_id = %(run_id)s and step_index = %(step_index)s and status = any(%(before)s::text[])
returning tenant, tool, key

-- retake_key: take a step's business key again that it gave back, in the generation that it was sent under
insert into {schema}.idempotency_records (tenant, tool, key, generation, run_id, step_index, args_hash, status)
select tenant, tool_name, idempotency_key, key_generation, run_id, step_index, args_hash, %(status)s
from {schema}.agent_steps
where run_id = %(run_id)s and step_index = %(step_index)s and business_key
on conflict do nothing

-- key_owner: read whose the business key is that a step was sent under
select k.run_id, k.step_index
from {schema}.agent_steps s
join {schema}.idempotency_records k
    on k.tenant = s.tenant and k.tool = s.tool_name and k.key = s.idempotency_key and k.generation = s.key_generation
where s.run_id = %(run_id)s and s.step_index = %(step_index)s and s.business_key

-- set_ending: note how a run will end once what it did is undone
update {schema}.agent_runs set ending = %(ending)s::json, updated_at = clock_timestamp() where run_id = %(run_id)s

-- retry_step (prepared): park a step whose attempt failed; it keeps its token, so that a commit without an answer is known again
update {schema}.agent_steps
set status = 'pending', error = %(error)s::json, lease_until = null, waiting_reason = %(reason)s,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), hints = 0,
    hinted_at = case when %(after_s)s = 0 then clock_timestamp() end
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s
    and claim_token = %(claim_token)s and status in ('running', 'in_doubt')

-- settle_reservation (prepared): charge a run for a step's call, and end what was reserved for it
with settled as (
    update {schema}.agent_steps s
    set reserved_tokens = 0, reserved_cost_usd = 0
    from (
        select run_id, step_index, reserved_tokens, reserved_cost_usd from {schema}.agent_steps
        where run_id = %(run_id)s and step_index = %(step_index)s
    ) before
    where s.run_id = before.run_id and s.step_index = before.step_index
    returning before.run_id, before.reserved_tokens, before.reserved_cost_usd
)
update {schema}.agent_runs r
set spent_tokens = r.spent_tokens + %(tokens)s, spent_cost_usd = r.spent_cost_usd + %(cost_usd)s,
    reserved_tokens = r.reserved_tokens - settled.reserved_tokens,
    reserved_cost_usd = r.reserved_cost_usd - settled.reserved_cost_usd
from settled
where r.run_id = settled.run_id and r.run_id = %(run_id)s

-- wake_reserved (prepared): make a run's steps due that waited for others' reservations
update {schema}.agent_steps
set next_attempt_at = clock_timestamp(), hinted_at = clock_timestamp(), hints = 0
where run_id = %(run_id)s and status = 'pending' and waiting_reason = 'budget_reserved'
returning run_id, step_index, task_name, queue

-- end_attempt (prepared): write how an attempt ended into the call log; what is found out of it later leaves its times alone
update {schema}.attempts
set status = %(status)s, error = %(error)s::json, ended_at = coalesce(ended_at, clock_timestamp()),
    latency_ms = coalesce(%(latency_ms)s, latency_ms)
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s

-- keep_late_result: keep what a fenced-off attempt came to as evidence
update {schema}.attempts set late_result = %(late_result)s::json
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s and claim_token = %(claim_token)s

-- insert_message (prepared): keep a message once, under the hash of all that leads to it
insert into {schema}.messages (tenant, hash, parent, body)
values (%(tenant)s, %(hash)s, %(parent)s, %(body)s::json)
on conflict do nothing

-- known_messages (prepared): tell which of some hashes are kept already
select hash from {schema}.messages where tenant = %(tenant)s and hash = any(%(hashes)s::bytea[])

-- log_model_call (prepared): write an answered model call into the log
insert into {schema}.model_calls (
    run_id, step_index, attempt, tenant, model, response_model, prompt_tokens, completion_tokens, cost_usd, latency_ms,
    prompt_head, response, finish_reason, error
)
values (
    %(run_id)s, %(step_index)s, %(attempt)s, %(tenant)s, %(model)s, %(response_model)s, %(prompt_tokens)s,
    %(completion_tokens)s, %(cost_usd)s, %(latency_ms)s, %(prompt_head)s, %(response)s::json, %(finish_reason)s, %(error)s::json
)
on conflict (run_id, step_index, attempt) do nothing

-- note_outcome (prepared): count an outcome on the run: a decision made before it is too old now
update {schema}.agent_runs
set version = version + 1, current_step = greatest(current_step, %(step_index)s),
    scratchpad = %(scratchpad)s::json, advance_due_at = clock_timestamp(),
    advance_hinted_at = clock_timestamp(), advance_hints = 0, updated_at = clock_timestamp()
where run_id = %(run_id)s

-- note_decided (prepared): count an outcome on the run, with the decision that was made on it, and what a next claim takes
update {schema}.agent_runs
set version = version + 2, current_step = greatest(current_step, %(step_index)s, %(current_step)s),
    scratchpad = %(scratchpad)s::json, advance_due_at = null, advance_hinted_at = null, advance_hints = 0,
    spent_attempts = spent_attempts + %(attempts)s, spent_tool_calls = spent_tool_calls + %(tool_calls)s,
    reserved_tokens = reserved_tokens + %(tokens)s, reserved_cost_usd = reserved_cost_usd + %(cost_usd)s,
    updated_at = clock_timestamp()
where run_id = %(run_id)s

-- note_begun (prepared): count a pending run's first decision, and what the claim of the step takes that it led to
update {schema}.agent_runs
set status = 'running', waiting_reason = null, version = version + 1,
    current_step = greatest(current_step, %(step_index)s), advance_due_at = null, advance_hinted_at = null, advance_hints = 0, spent_attempts = spent_attempts + 1,
    spent_tool_calls = spent_tool_calls + %(tool_calls)s, reserved_tokens = reserved_tokens + %(tokens)s,
    reserved_cost_usd = reserved_cost_usd + %(cost_usd)s, started_at = coalesce(started_at, clock_timestamp()),
    deadline_at = %(deadline_at)s, updated_at = clock_timestamp()
where run_id = %(run_id)s

-- insert_outbox (prepared): queue a message with the state that caused it
insert into {schema}.outbox (message_id, tenant, run_id, step_index, item, kind, payload)
values (%(message_id)s, %(tenant)s, %(run_id)s, %(step_index)s, %(item)s, %(kind)s, %(payload)s::json)
on conflict (run_id, step_index, item) do nothing

-- resolve_key (prepared): write what the holder of an idempotency key came to
update {schema}.idempotency_records
set status = %(status)s, output = %(output)s::json, updated_at = clock_timestamp()
where run_id = %(run_id)s and step_index = %(step_index)s

-- free_key (prepared): give an idempotency key back, since nothing happened under it
delete from {schema}.idempotency_records
where run_id = %(run_id)s and step_index = %(step_index)s and status in ('in_flight', 'in_doubt')

-- wake_waiters (prepared): make the steps due that wait for an idempotency key
with waiters as (
    select run_id, step_index from {schema}.agent_steps
    where tenant = %(tenant)s and tool_name = %(tool)s and idempotency_key = %(key)s
        and status = 'pending' and waiting_reason = 'key_in_flight'
    for update skip locked
)
update {schema}.agent_steps s
set next_attempt_at = clock_timestamp(), hinted_at = clock_timestamp(), hints = 0
from waiters w
where s.run_id = w.run_id and s.step_index = w.step_index
returning s.run_id, s.step_index, s.task_name, s.queue

-- insert_step (prepared): add a step to a run
insert into {schema}.agent_steps (
    run_id, step_index, tenant, tool_name, tool_input, idempotency_key, business_key, args_hash, agent_version,
    task_name, queue, effect, timeout_s, parent_index, call_index, bulkhead, subject_index, subject_tool, person, settle_s,
    verify_after, waiting_reason, next_attempt_at, hinted_at
)
values (
    %(run_id)s, %(step_index)s, %(tenant)s, %(tool_name)s, %(input)s::json, %(idempotency_key)s, %(business_key)s,
    %(args_hash)s, %(agent_version)s, %(task_name)s, %(queue)s, %(effect)s, %(timeout_s)s, %(parent_index)s,
    %(call_index)s, %(bulkhead)s, %(subject_index)s, %(subject_tool)s, %(person)s, %(settle_s)s, %(verify_after)s,
    %(waiting_reason)s, clock_timestamp() + make_interval(secs => %(after_s)s),
    case when %(after_s)s::float is null then clock_timestamp() end
)

-- mark_decided (prepared): note that the run's history up to its version has been decided on
update {schema}.agent_runs
set version = version + 1, current_step = greatest(current_step, %(current_step)s), advance_due_at = null,
    advance_hinted_at = null, advance_hints = 0, updated_at = clock_timestamp()
where run_id = %(run_id)s and version = %(version)s

-- set_run_status (prepared): move a run to another status that is not final; its deadline stands still while a person is waited for
update {schema}.agent_runs
set status = %(status)s, waiting_reason = %(waiting_reason)s, updated_at = clock_timestamp(),
    time_left_s = case
        when not %(stands_still)s then null
        else coalesce(time_left_s, extract(epoch from deadline_at - clock_timestamp()))
    end,
    deadline_at = case
        when %(stands_still)s then null
        when time_left_s is not null then clock_timestamp() + make_interval(secs => time_left_s)
        else deadline_at
    end
where run_id = %(run_id)s

-- log_transition (prepared): write a run's change of status into its log
insert into {schema}.transitions (tenant, run_id, step_index, old, new, reason)
values (%(tenant)s, %(run_id)s, %(step_index)s, %(old)s, %(new)s, %(reason)s)

-- finish_run (prepared): end a run
update {schema}.agent_runs
set status = %(status)s, result = %(result)s::json, outcome = %(outcome)s, error = %(error)s::json,
    compensation = %(compensation)s, finished_at = clock_timestamp(), updated_at = clock_timestamp(),
    waiting_reason = null, advance_due_at = null, time_left_s = null
where run_id = %(run_id)s and finished_at is null

-- pass_turn (prepared): give the conversation's turn to the next run in line, and make that run due
with passed as (
    update {schema}.conversations c
    set turn_run_id = (
            select r.run_id from {schema}.agent_runs r
            where r.tenant = c.tenant and r.conversation_id = c.conversation_id and r.finished_at is null
                and r.run_id <> %(run_id)s
            order by r.created_at, r.run_id limit 1
        ),
        updated_at = clock_timestamp()
    where c.tenant = %(tenant)s and c.conversation_id = %(conversation_id)s and c.turn_run_id = %(run_id)s
    returning c.turn_run_id
)
update {schema}.agent_runs r
set version = r.version + 1, advance_due_at = coalesce(r.not_before, clock_timestamp()), waiting_reason = null,
    advance_hinted_at = clock_timestamp(), advance_hints = 0
from passed
where r.run_id = passed.turn_run_id
returning r.run_id, r.queue

-- open_steps (prepared): read the states of a run's open steps
select step_index, status, next_attempt_at, waiting_reason, clock_timestamp() as now from {schema}.agent_steps
where run_id = %(run_id)s and status in ('pending', 'running', 'in_doubt')
order by step_index

-- skip_pending (prepared): skip what a stopping run had not begun
update {schema}.agent_steps
set status = 'skipped', finished_at = clock_timestamp(), waiting_reason = null, next_attempt_at = null
where run_id = %(run_id)s and status = 'pending' and tool_name not in ('verify', 'compensate')
returning
    run_id, step_index, tool_name, tool_input, tool_output, error, status, attempt, idempotency_key, business_key,
    args_hash, effect, timeout_s, queue, task_name, parent_index, call_index, claim_token, worker_id, worker_pid,
    claimed_at, lease_until, next_attempt_at, waiting_reason, quarantined, deaths, tenant, bulkhead, reserved_tokens,
    reserved_cost_usd, subject_index, subject_tool, person, settle_s, verify_after, unconfirmed, key_generation

-- check_constraints: raise now what a deferred constraint would raise at the commit
set constraints all immediate

-- raise_alert: note something that a person has to see, once per cause
insert into {schema}.alerts (tenant, cause, topic, run_id, step_index, message)
values (%(tenant)s, %(cause)s, %(topic)s, %(run_id)s, %(step_index)s, %(message)s)
on conflict (tenant, cause) do update
set count = alerts.count + 1, last_at = clock_timestamp(), topic = excluded.topic, run_id = excluded.run_id,
    step_index = excluded.step_index, message = excluded.message

-- allow_time: let this transaction's statements and pauses take longer than the session's default
select set_config('statement_timeout', %(ms)s, true), set_config('idle_in_transaction_session_timeout', %(ms)s, true)
