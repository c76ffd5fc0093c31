-- partitions_of_runs: list the partitions of the runs with their bounds, their sizes in all tables, and about their runs
select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds, greatest(c.reltuples, 0)::bigint as runs, (
        select coalesce(sum(pg_total_relation_size(t.oid)), 0)::bigint
        from unnest(%(tables)s::text[]) as of_runs (name)
        join pg_class t on t.relnamespace = c.relnamespace and t.relname = of_runs.name || substr(c.relname, 11)
    ) as bytes
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = '{schema}.agent_runs'::regclass

-- last_stray: find the newest id in the default partition that lies between two
select run_id from {schema}.agent_runs_default
where run_id >= %(first)s and run_id < %(until)s
order by run_id desc limit 1

-- held_runs: find the runs between two ids that may not go yet, and why: theirs is not over, or another's needs them
select run_id, 'open' as because from {schema}.agent_runs
where run_id >= %(first)s and run_id < %(until)s and finished_at is null
union all
select run_id, 'undelivered' from {schema}.outbox
where run_id >= %(first)s and run_id < %(until)s and status not in ('sent', 'failed')
union all
select e.run_id, 'conversation'
from {schema}.agent_runs o
join {schema}.agent_runs e on e.tenant = o.tenant and e.conversation_id = o.conversation_id and e.run_id <> o.run_id
where o.finished_at is null and o.conversation_id is not null and e.run_id >= %(first)s and e.run_id < %(until)s
limit %(most)s

-- prune_strays: delete runs that ended before a time from the default partition, with all that is theirs
with gone as (
    select r.run_id from {schema}.agent_runs_default r
    where r.finished_at < %(before)s and r.created_at < %(before)s
        and not exists (
            select from {schema}.outbox_default o where o.run_id = r.run_id and o.status not in ('sent', 'failed')
        )
        and not exists (
            select from {schema}.agent_runs later
            where later.tenant = r.tenant and later.conversation_id = r.conversation_id and later.finished_at is null
        )
    limit %(page)s
    for update of r skip locked
),
steps as (delete from {schema}.agent_steps_default where run_id in (select run_id from gone)),
tries as (delete from {schema}.attempts_default where run_id in (select run_id from gone)),
calls as (delete from {schema}.model_calls_default where run_id in (select run_id from gone)),
moves as (delete from {schema}.transitions_default where run_id in (select run_id from gone)),
letters as (delete from {schema}.outbox_default where run_id in (select run_id from gone)),
questions as (delete from {schema}.approvals_default where run_id in (select run_id from gone)),
acts as (delete from {schema}.interventions_default where run_id in (select run_id from gone))
delete from {schema}.agent_runs_default where run_id in (select run_id from gone)

-- prune_run_keys: look at the submissions' keys after one, in order, and delete those whose runs are gone
with page as (
    select tenant, idempotency_key, run_id from {schema}.run_keys
    where (tenant, idempotency_key) > (%(tenant)s, %(last)s)
    order by tenant, idempotency_key
    limit %(page)s
), gone as (
    delete from {schema}.run_keys k
    using page p
    where k.tenant = p.tenant and k.idempotency_key = p.idempotency_key and k.run_id = p.run_id
        and p.run_id < %(until)s and not exists (select from {schema}.agent_runs r where r.run_id = p.run_id)
    returning k.run_id
)
select tenant, idempotency_key as last, (select count(*) from gone) as deleted from page
order by tenant desc, idempotency_key desc
limit 1

-- has_leaving: tell whether a pruning has taken messages away, and came to no end
select 1 as is_so from {schema}.messages_leaving limit 1

-- survey_messages: list the messages from before a time that no call's prompt leads to
insert into {schema}.messages_leaving (tenant, hash)
with recursive seeds as (
    select m.tenant, m.hash, m.parent from {schema}.messages m
    where m.created_at < %(before)s
        and exists (select from {schema}.model_calls c where c.tenant = m.tenant and c.prompt_head = m.hash)
    union all
    select m.tenant, m.hash, m.parent from {schema}.messages m
    where m.created_at < %(before)s and exists (
        select from {schema}.messages y
        where y.tenant = m.tenant and y.parent = m.hash and y.created_at >= %(before)s
    )
),
reached (tenant, hash, parent) as (
    select tenant, hash, parent from seeds
    union
    select m.tenant, m.hash, m.parent
    from reached
    join {schema}.messages m on m.tenant = reached.tenant and m.hash = reached.parent
)
select m.tenant, m.hash from {schema}.messages m
where m.created_at < %(before)s
    and not exists (select from reached k where k.tenant = m.tenant and k.hash = m.hash)
on conflict do nothing

-- take_messages: take the listed messages after one away, in order, to where nobody finds them
with page as (
    select tenant, hash from {schema}.messages_leaving
    where (tenant, hash) > (%(tenant)s, %(last)s)
    order by tenant, hash
    limit %(page)s
), taken as (
    delete from {schema}.messages m
    using page p
    where m.tenant = p.tenant and m.hash = p.hash
    returning m.tenant, m.hash, m.parent, m.body, m.created_at
), filled as (
    update {schema}.messages_leaving l
    set parent = taken.parent, body = taken.body, created_at = taken.created_at
    from taken
    where l.tenant = taken.tenant and l.hash = taken.hash
    returning l.hash
)
select tenant, hash as last, (select count(*) from filled) as deleted from page
order by tenant desc, hash desc
limit 1

-- restore_messages: put back what calls have come to refer to meanwhile
with recursive seeds as (
    select l.tenant, l.hash, l.parent from {schema}.messages_leaving l
    where l.body is not null
        and exists (select from {schema}.model_calls c where c.tenant = l.tenant and c.prompt_head = l.hash)
    union all
    select l.tenant, l.hash, l.parent from {schema}.messages_leaving l
    where l.body is not null and exists (
        select from {schema}.messages m where m.tenant = l.tenant and m.parent = l.hash
    )
),
needed (tenant, hash, parent) as (
    select tenant, hash, parent from seeds
    union
    select l.tenant, l.hash, l.parent
    from needed
    join {schema}.messages_leaving l on l.tenant = needed.tenant and l.hash = needed.parent and l.body is not null
)
insert into {schema}.messages (tenant, hash, parent, body, created_at)
select l.tenant, l.hash, l.parent, l.body, l.created_at
from needed
join {schema}.messages_leaving l on l.tenant = needed.tenant and l.hash = needed.hash
on conflict do nothing

-- forget_messages: delete the messages that nobody has come to refer to; answers how many
delete from {schema}.messages_leaving

-- prune_conversations: forget the turns of conversations that have no runs left
delete from {schema}.conversations c
where c.updated_at < %(before)s and not exists (
    select from {schema}.agent_runs r where r.tenant = c.tenant and r.conversation_id = c.conversation_id
)

-- prune_alerts: delete the alerts that were last raised before a time, unless their run is open still
delete from {schema}.alerts a
where a.last_at < %(before)s and not exists (
    select from {schema}.agent_runs r where r.run_id = a.run_id and r.finished_at is null
)

-- prune_pages: forget the pages sent before a time about what no alert is left of
delete from {schema}.pages p
where p.paged_at < %(before)s and not exists (
    select from {schema}.alerts a where a.tenant = p.tenant and a.topic = p.topic
)
