-- submit_run (prepared): insert a pending run with its first transition, unless its idempotency key is taken in `run_keys`
with submitted as (
    insert into {schema}.agent_runs (
        run_id, tenant, user_id, agent, agent_version, queue, start_queue, input_payload, input_hash, conversation_id,
        idempotency_key, budget, fallback, on_failure, notify, not_before, advance_due_at, advance_hinted_at, flags
    )
    values (
        %(run_id)s, %(tenant)s, %(user_id)s, %(agent)s, %(agent_version)s, %(queue)s, %(start_queue)s, %(input)s::json,
        %(input_hash)s, %(conversation_id)s, %(idempotency_key)s, %(budget)s::jsonb, %(fallback)s,
        %(on_failure)s, %(notify)s::json, %(not_before)s::timestamptz,
        coalesce(%(not_before)s::timestamptz, clock_timestamp()),
        case when %(hinted)s then clock_timestamp() end, %(flags)s::text[]
    )
    on conflict do nothing
    returning run_id, tenant
), logged as (
    insert into {schema}.transitions (tenant, run_id, old, new, reason)
    select tenant, run_id, null, 'pending', 'submitted' from submitted
)
select run_id from submitted

-- submitted_before: find the run that stands in a submission's way: its own, or that of its idempotency key
select run_id, agent, input_hash from {schema}.agent_runs
where run_id in (
    %(run_id)s,
    (select k.run_id from {schema}.run_keys k where k.tenant = %(tenant)s and k.idempotency_key = %(idempotency_key)s)
)

-- agent_by_name (prepared): read the newest registration of an agent
select name, version, kind, queue, queues, input_schema, budget, fallback, on_failure, tools, model
from {schema}.agents where name = %(name)s order by registered_at desc limit 1

-- agent_names: list the agents that workers have registered
select distinct name from {schema}.agents order by name

-- mark_advance_unhinted: leave a run to the sweeper, since its hint could not be published
update {schema}.agent_runs set advance_hinted_at = null where run_id = %(run_id)s and advance_due_at is not null
