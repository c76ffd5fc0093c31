-- register_worker: write a worker's boot into the register
insert into {schema}.workers (worker_id, hostname, pid, pool, queues, agents)
values (%(worker_id)s, %(hostname)s, %(pid)s, %(pool)s, %(queues)s::text[], %(agents)s::jsonb)
on conflict (worker_id) do update set heartbeat_at = clock_timestamp(), stopped_at = null

-- register_agent: write what a worker serves, for clients that do not have the code
insert into {schema}.agents (name, version, kind, queue, queues, input_schema, budget, fallback, on_failure, tools, model)
values (
    %(name)s, %(version)s, %(kind)s, %(queue)s, %(queues)s::text[], %(input_schema)s::jsonb, %(budget)s::jsonb,
    %(fallback)s, %(on_failure)s, %(tools)s::jsonb, %(model)s::jsonb
)
on conflict (name, version) do update
set queue = excluded.queue, queues = excluded.queues, model = excluded.model, registered_at = clock_timestamp()

-- beat (prepared): say that a worker is alive; a gap breaks its record as a judge of others. Tell what it has, and whose turn it is
with beaten as (
    update {schema}.workers
    set unbroken_since = case
            when heartbeat_at < clock_timestamp() - make_interval(secs => %(gap_s)s) then clock_timestamp()
            else unbroken_since
        end,
        heartbeat_at = clock_timestamp(), draining = %(draining)s
    where worker_id = %(worker_id)s
    returning worker_id
)
select
    (
        select true from {schema}.agent_steps
        where status = 'running' and worker_id = %(worker_id)s
        order by lease_until limit 1
    ) as has_steps,
    (
        select true from {schema}.outbox
        where status in ('claimed', 'sending') and worker_id = %(worker_id)s
        order by lease_until limit 1
    ) as has_messages,
    t.holder = %(worker_id)s as has_turn,
    extract(epoch from t.held_until - clock_timestamp())::float as turn_ends_in_s
from beaten
left join {schema}.turns t on t.name = %(turn)s

-- stop_worker: say that a worker ended by itself
update {schema}.workers set stopped_at = clock_timestamp() where worker_id = %(worker_id)s

-- forget_workers: delete the registrations of workers that ended long ago
delete from {schema}.workers
where heartbeat_at < clock_timestamp() - make_interval(secs => %(age_s)s)

-- served_queues: list the queues that live workers serve
select distinct unnest(queues) as queue from {schema}.workers
where stopped_at is null and heartbeat_at > clock_timestamp() - make_interval(secs => %(dead_s)s)

-- live_workers: list the workers that are alive
select worker_id, hostname, pid, pool, queues, started_at, heartbeat_at from {schema}.workers
where stopped_at is null and heartbeat_at > clock_timestamp() - make_interval(secs => %(dead_s)s)
order by pool, started_at

-- dead_workers: list the workers that died within the last hour, as an unbroken judge sees it
select w.worker_id, w.heartbeat_at from {schema}.workers w
where w.stopped_at is null
    and w.heartbeat_at < clock_timestamp() - make_interval(secs => %(dead_s)s)
    and w.heartbeat_at > clock_timestamp() - interval '1 hour'
    and exists (
        select from {schema}.workers judge
        where judge.worker_id = %(judge)s
            and judge.unbroken_since < clock_timestamp() - make_interval(secs => %(dead_s)s)
            and judge.heartbeat_at > clock_timestamp() - make_interval(secs => %(gap_s)s)
    )

-- bulkheads_of_worker: list the bulkheads that a worker may hold slots of: its tools, its models, its relays
select part ->> 'name' as bulkhead
from {schema}.workers w
cross join lateral jsonb_each_text(w.agents) as served (name, version)
join {schema}.agents a on a.name = served.name and a.version = served.version
cross join lateral jsonb_array_elements(a.tools || coalesce(a.model, '[]')) as part
where w.worker_id = %(worker_id)s and part ->> 'name' is not null
union
select queue from {schema}.workers w
cross join lateral unnest(w.queues) as queue
where w.worker_id = %(worker_id)s and starts_with(queue, 'outbox.')

-- claims_of_worker: list the steps and the messages that a worker has claimed and that nobody has taken back
select run_id::text as run_id, step_index from {schema}.agent_steps
where status = 'running' and worker_id = %(worker_id)s
union all
select message_id::text, item from {schema}.outbox
where status in ('claimed', 'sending') and worker_id = %(worker_id)s
