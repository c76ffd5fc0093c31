-- look_around (prepared): hold the turn if it is free or ours; tell what there is to do, and in how many seconds there is more
with recursive turn as (
    insert into {schema}.turns (name, holder, held_until)
    values (%(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(hold_s)s))
    on conflict (name) do update
    set holder = excluded.holder, held_until = excluded.held_until
    where turns.holder = excluded.holder or turns.held_until < clock_timestamp()
    returning holder
),
bulkheads as (
    (
        select bulkhead from {schema}.agent_steps
        where status = 'pending' and waiting_reason is not null
        order by bulkhead limit 1
    )
    union all
    select (
        select s.bulkhead from {schema}.agent_steps s
        where s.status = 'pending' and s.waiting_reason is not null and s.bulkhead > b.bulkhead
        order by s.bulkhead limit 1
    )
    from bulkheads b
    where b.bulkhead is not null
),
kinds as (
    (select kind from {schema}.outbox where status = 'pending' order by kind limit 1)
    union all
    select (select o.kind from {schema}.outbox o where o.status = 'pending' and o.kind > k.kind order by o.kind limit 1)
    from kinds k
    where k.kind is not null
)
select
    exists (select from turn) as has_turn,
    (
        select true from {schema}.agent_steps s
        left join {schema}.workers w on w.worker_id = s.worker_id
        where s.status = 'running' and (
            s.lease_until < statement_timestamp()
            or (s.effect in ('read', 'transactional', 'keyed')
                and w.heartbeat_at < statement_timestamp() - make_interval(secs => %(dead_s)s))
        )
        order by s.worker_id limit 1
    ) as has_lost,
    (
        select true from {schema}.agent_runs
        where finished_at is null and stop_requested is null and deadline_at <= statement_timestamp()
        order by deadline_at limit 1
    ) as has_overdue,
    coalesce(
        (
            select true from {schema}.agent_runs
            where advance_due_at <= statement_timestamp() and not pause_requested
                and (advance_hinted_at is null
                     or advance_hinted_at < statement_timestamp()
                        - make_interval(secs => %(grace_s)s * power(2, least(advance_hints, 6))))
            order by advance_due_at limit 1
        ),
        (
            select true from {schema}.agent_steps
            where status = 'pending' and next_attempt_at is null and hinted_at is null
                and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
            order by hinted_at limit 1
        ),
        (
            select true from {schema}.agent_steps
            where status = 'pending' and next_attempt_at is null
                and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
                and hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s)
                and hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s * power(2, least(hints, 6)))
            order by hinted_at limit 1
        ),
        (
            select true from {schema}.agent_steps
            where status = 'pending' and next_attempt_at <= statement_timestamp()
                and next_attempt_at > statement_timestamp() - make_interval(secs => %(within_s)s)
                and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
                and (hinted_at is null
                     or hinted_at < statement_timestamp()
                        - make_interval(secs => %(grace_s)s * power(2, least(hints, 6))))
            order by next_attempt_at limit 1
        )
    ) as has_due,
    array(
        select b.bulkhead from bulkheads b
        where b.bulkhead is not null
            and not exists (select from {schema}.holds h where h.bulkhead = b.bulkhead)
            and (
                select true from {schema}.agent_steps s
                where s.bulkhead = b.bulkhead and s.status = 'pending' and s.waiting_reason is not null
                    and s.waiting_reason = any(%(gated)s::text[]) and s.next_attempt_at <= statement_timestamp()
                    and (s.hinted_at is null
                         or s.hinted_at < statement_timestamp()
                            - make_interval(secs => %(grace_s)s * power(2, least(s.hints, 6))))
                order by s.next_attempt_at limit 1
            )
    ) as crowded,
    coalesce(
        (
            select true from {schema}.outbox o
            left join {schema}.workers w on w.worker_id = o.worker_id
            where o.status in ('claimed', 'sending') and (
                o.lease_until < statement_timestamp()
                or ((o.status = 'claimed' or o.effect = 'keyed')
                    and w.heartbeat_at < statement_timestamp() - make_interval(secs => %(dead_s)s))
            )
            order by o.lease_until limit 1
        ),
        (
            select bool_or((
                select true from {schema}.outbox o
                where o.status = 'pending' and o.kind = k.kind
                    and o.next_attempt_at <= statement_timestamp() - make_interval(secs => %(outbox_grace_s)s)
                order by o.next_attempt_at limit 1
            ))
            from kinds k
            where k.kind is not null and not exists (select from {schema}.holds where bulkhead = 'outbox.' || k.kind)
        )
    ) as has_messages,
    exists (
        select from {schema}.workers
        where stopped_at is null and heartbeat_at > statement_timestamp() - interval '1 hour'
            and heartbeat_at < statement_timestamp() - make_interval(secs => %(dead_s)s)
    ) as has_dead,
    extract(epoch from least(
        (
            select deadline_at from {schema}.agent_runs
            where finished_at is null and stop_requested is null and deadline_at > statement_timestamp()
            order by deadline_at limit 1
        ),
        (
            select next_attempt_at from {schema}.agent_steps
            where status = 'pending' and waiting_reason is not null and next_attempt_at > statement_timestamp()
                and next_attempt_at < statement_timestamp() + interval '1 second'
            order by next_attempt_at limit 1
        )
    ) - statement_timestamp())::float as next_in_s

-- hintable_steps: find pending steps that are due, that no recent hint tells of, and that the gate has not denied
(
    select run_id, step_index, task_name, queue, quarantined, hinted_at from {schema}.agent_steps
    where status = 'pending' and next_attempt_at is null and hinted_at is null
        and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
    order by hinted_at limit %(most)s
)
union all
(
    select run_id, step_index, task_name, queue, quarantined, hinted_at from {schema}.agent_steps
    where status = 'pending' and next_attempt_at is null
        and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
        and hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s)
        and hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s * power(2, least(hints, 6)))
    order by hinted_at limit %(most)s
)
union all
(
    select run_id, step_index, task_name, queue, quarantined, hinted_at from {schema}.agent_steps
    where status = 'pending' and next_attempt_at <= statement_timestamp()
        and next_attempt_at > statement_timestamp() - make_interval(secs => %(within_s)s)
        and (waiting_reason is null or waiting_reason <> all(%(gated)s::text[]))
        and (hinted_at is null
             or hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s * power(2, least(hints, 6))))
    order by next_attempt_at limit %(most)s
)
order by hinted_at nulls first
limit %(most)s

-- hint_next_in_line: mark the steps that wait longest before each bulkhead, and are due, as hinted: as many as fit
update {schema}.agent_steps s
set hinted_at = clock_timestamp(), hints = s.hints + 1
from unnest(%(bulkheads)s::text[], %(rooms)s::integer[]) as b (bulkhead, room)
cross join lateral (
    select run_id, step_index, row_number() over (order by next_attempt_at) as place
    from (
        select run_id, step_index, next_attempt_at from {schema}.agent_steps
        where status = 'pending' and bulkhead = b.bulkhead and waiting_reason is not null
            and waiting_reason = any(%(gated)s::text[]) and next_attempt_at <= statement_timestamp()
            and (hinted_at is null
                 or hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s * power(2, least(hints, 6))))
        order by next_attempt_at
        limit %(most)s
        for update skip locked
    ) first
) w
where s.run_id = w.run_id and s.step_index = w.step_index and w.place <= b.room
returning s.run_id, s.step_index, s.task_name, s.queue, s.quarantined, s.hinted_at

-- wake_denied (prepared): make steps due that the gate has denied, those too that are only about to be parked for it
update {schema}.agent_steps s
set next_attempt_at = clock_timestamp(), hinted_at = clock_timestamp(), hints = 0
from unnest(%(run_ids)s::uuid[], %(step_indexes)s::integer[]) as w (run_id, step_index)
where s.run_id = w.run_id and s.step_index = w.step_index and s.status = 'pending'
    and (s.waiting_reason is null or s.waiting_reason = any(%(gated)s::text[]))
returning s.run_id, s.step_index, s.task_name, s.queue

-- mark_steps_hinted: note that steps are being hinted again, but for those that somebody is at just now
update {schema}.agent_steps s
set hinted_at = clock_timestamp(), hints = s.hints + 1
from (
    select p.run_id, p.step_index from {schema}.agent_steps p
    join unnest(%(run_ids)s::uuid[], %(step_indexes)s::integer[]) as h (run_id, step_index)
        on p.run_id = h.run_id and p.step_index = h.step_index
    where p.status = 'pending'
    for update of p skip locked
) p
where s.run_id = p.run_id and s.step_index = p.step_index
returning s.run_id, s.step_index

-- hintable_runs: find runs whose next decision is due and that no recent hint tells of, with the queue for it
select run_id, advance_hinted_at as hinted_at,
    case when current_step = -1 and stop_requested is null then coalesce(start_queue, queue) else queue end as queue
from {schema}.agent_runs
where advance_due_at <= statement_timestamp() and not pause_requested
    and (advance_hinted_at is null
         or advance_hinted_at < statement_timestamp() - make_interval(secs => %(grace_s)s * power(2, least(advance_hints, 6))))
order by advance_due_at
limit %(most)s

-- mark_runs_hinted: note that runs are being hinted again, but for those that somebody is at just now
update {schema}.agent_runs r
set advance_hinted_at = clock_timestamp(), advance_hints = r.advance_hints + 1
from (
    select run_id from {schema}.agent_runs
    where run_id = any(%(run_ids)s::uuid[]) and advance_due_at is not null
    for update skip locked
) p
where r.run_id = p.run_id
returning r.run_id

-- stop_overdue: ask the runs past their deadline to stop
update {schema}.agent_runs
set stop_requested = 'deadline', pause_requested = false, advance_due_at = clock_timestamp(), advance_hinted_at = null
where run_id in (
    select run_id from {schema}.agent_runs
    where finished_at is null and deadline_at <= statement_timestamp() and stop_requested is null
    order by deadline_at
    limit %(most)s
    for update skip locked
)

-- revive_forgotten: make runs due that have no open step, no decision due, and nothing they wait for
update {schema}.agent_runs r
set advance_due_at = clock_timestamp(), advance_hinted_at = null
where r.run_id in (
    select o.run_id from {schema}.agent_runs o
    where o.finished_at is null and o.advance_due_at is null and not o.pause_requested
        and o.updated_at < clock_timestamp() - interval '10 seconds'
        and not exists (
            select from {schema}.agent_steps s
            where s.run_id = o.run_id and s.status in ('pending', 'running', 'in_doubt')
        )
        and (
            o.conversation_id is null
            or exists (
                select from {schema}.conversations c
                where c.tenant = o.tenant and c.conversation_id = o.conversation_id
                    and (c.turn_run_id is null or c.turn_run_id = o.run_id)
            )
        )
    limit %(most)s
    for update skip locked
)

-- lost_steps: find claimed steps whose lease is over, or whose worker is dead by its heartbeat
select s.run_id, s.step_index, s.attempt, s.bulkhead,
    case
        when s.lease_until >= clock_timestamp() then 'worker_dead'
        when w.heartbeat_at > clock_timestamp() - make_interval(secs => %(dead_s)s) then 'overrun'
        else 'lease_over'
    end as evidence
from {schema}.agent_steps s
left join {schema}.workers w on w.worker_id = s.worker_id
where s.status = 'running' and (
    s.lease_until < clock_timestamp()
    or (s.effect in ('read', 'transactional', 'keyed')
        and w.heartbeat_at < clock_timestamp() - make_interval(secs => %(dead_s)s)
        and exists (
            select from {schema}.workers judge
            where judge.worker_id = %(judge)s
                and judge.unbroken_since < clock_timestamp() - make_interval(secs => %(dead_s)s)
                and judge.heartbeat_at > clock_timestamp() - make_interval(secs => %(gap_s)s)
        ))
)
order by s.worker_id
limit %(most)s

-- steps_by_process: list a worker's claimed steps with the process that has each
select run_id, step_index, attempt, worker_pid, bulkhead from {schema}.agent_steps
where status = 'running' and worker_id = %(worker_id)s

-- was_lost (prepared): tell whether an earlier attempt at a step was lost with its process
select exists (
    select from {schema}.attempts
    where run_id = %(run_id)s and step_index = %(step_index)s and status = 'lost'
) as was_lost

-- take_back_step: end a lost attempt and make its step pending again
update {schema}.agent_steps
set status = 'pending', lease_until = null, claim_token = null, next_attempt_at = null, error = %(error)s::json,
    quarantined = quarantined or %(quarantine)s, deaths = deaths + %(deaths)s,
    hinted_at = clock_timestamp(), hints = 0, waiting_reason = null
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s and status = 'running'

-- fail_lost_step: end a step whose lost attempt may not be repeated
update {schema}.agent_steps
set status = %(status)s, error = %(error)s::json, lease_until = null, deaths = deaths + %(deaths)s,
    quarantined = quarantined or %(quarantine)s, waiting_reason = %(waiting_reason)s,
    finished_at = case when %(status)s = 'in_doubt' then null else clock_timestamp() end
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s and status = 'running'

-- step_hinted_at: read when a step was hinted last
select hinted_at from {schema}.agent_steps where run_id = %(run_id)s and step_index = %(step_index)s

-- run_hinted_at: read when a run's decision was hinted last
select advance_hinted_at as hinted_at from {schema}.agent_runs where run_id = %(run_id)s

-- queue_of_step: read a step's own queue
select queue from {schema}.agent_steps where run_id = %(run_id)s and step_index = %(step_index)s

-- running_steps: list the claimed steps
select run_id, step_index, attempt from {schema}.agent_steps where status = 'running'

-- end_lease: end a step's lease now, for tests that need not wait
update {schema}.agent_steps set lease_until = clock_timestamp() - interval '1 second'
where run_id = %(run_id)s and step_index = %(step_index)s and attempt = %(attempt)s and status = 'running'

-- hasten_retry: let the time pass until the next step is to be tried, or verified, for tests that need not wait
update {schema}.agent_steps
set next_attempt_at = clock_timestamp(), hinted_at = null,
    tool_input = case when tool_name <> 'verify' then tool_input else (
        select json_object_agg(key, case
            when key = 'settled_at'
            then to_json((value #>> '{}')::timestamptz - (next_attempt_at - clock_timestamp()))
            else value
        end)
        from json_each(tool_input)
    ) end
where (run_id, step_index) in (
    select run_id, step_index from {schema}.agent_steps
    where status = 'pending' and next_attempt_at > clock_timestamp()
        and (waiting_reason like 'retry\_%%' or waiting_reason in ('verifying', 'settling'))
    order by next_attempt_at limit 1
)
