-- claim_outbox: take a batch of a kind's messages that are due, the longest due first; none while the kind is held
with due as (
    select run_id, message_id from {schema}.outbox
    where kind = %(kind)s and status = 'pending' and next_attempt_at <= clock_timestamp()
        and not exists (select from {schema}.holds where bulkhead = %(bulkhead)s)
    order by next_attempt_at, created_at
    limit %(most)s
    for update skip locked
)
update {schema}.outbox o
set status = 'claimed', claim_token = %(claim_token)s, worker_id = %(worker_id)s, worker_pid = %(worker_pid)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), updated_at = clock_timestamp()
from due
where o.run_id = due.run_id and o.message_id = due.message_id
returning o.message_id, o.tenant, o.run_id, o.step_index, o.item, o.kind, o.payload, o.attempt, o.failures, o.created_at

-- hand_over: record one message as sent, and the next of the batch as being sent, each if its token says it is ours
with sent as (
    update {schema}.outbox
    set status = 'sent', response = %(response)s::json, sent_at = clock_timestamp(), error = null, lease_until = null,
        updated_at = clock_timestamp()
    where run_id = %(sent_run_id)s and message_id = %(sent_id)s and claim_token = %(claim_token)s
        and attempt = %(sent_attempt)s and status = any(%(before_sent)s::text[])
    returning message_id
),
begun as (
    update {schema}.outbox
    set status = 'sending', attempt = %(attempt)s, effect = %(effect)s,
        lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), updated_at = clock_timestamp()
    where run_id = %(run_id)s and message_id = %(message_id)s and claim_token = %(claim_token)s
        and attempt = %(attempt)s - 1 and status = any(%(before_sending)s::text[])
        and not exists (select from {schema}.holds where bulkhead = %(bulkhead)s)
    returning message_id
)
select
    exists (select from sent) or exists (
        select from {schema}.outbox
        where run_id = %(sent_run_id)s and message_id = %(sent_id)s and claim_token = %(claim_token)s
            and attempt = %(sent_attempt)s and status = 'sent'
    ) as is_sent,
    exists (select from begun) or exists (
        select from {schema}.outbox
        where run_id = %(run_id)s and message_id = %(message_id)s and claim_token = %(claim_token)s
            and attempt = %(attempt)s and status = 'sending'
    ) as is_sending

-- fail_delivery: write what an attempt came to that was not answered well: pending again, failed, or in doubt
update {schema}.outbox
set status = %(status)s, error = %(error)s::json, failures = %(failures)s::jsonb, lease_until = null,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), updated_at = clock_timestamp()
where run_id = %(run_id)s and message_id = %(message_id)s and claim_token = %(claim_token)s
    and attempt = %(attempt)s and status = any(%(before)s::text[])

-- put_back: give claimed messages back that were not handed over, to be tried again after a while
update {schema}.outbox
set status = 'pending', claim_token = null, worker_id = null, worker_pid = null, lease_until = null,
    next_attempt_at = case
        when %(after_s)s = 0 then next_attempt_at
        else clock_timestamp() + make_interval(secs => %(after_s)s)
    end,
    error = coalesce(%(error)s::json, error), updated_at = clock_timestamp()
where message_id = any(%(message_ids)s::uuid[]) and claim_token = %(claim_token)s and status = 'claimed'

-- put_off_kind: have all that is due of a kind wait, since nobody here can deliver it
update {schema}.outbox
set next_attempt_at = clock_timestamp() + make_interval(secs => %(after_s)s), error = %(error)s::json,
    updated_at = clock_timestamp()
where kind = %(kind)s and status = 'pending' and next_attempt_at <= clock_timestamp()
returning tenant

-- wake_outbox: make messages due for which the gate has room now
update {schema}.outbox
set next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
where message_id = any(%(message_ids)s::uuid[]) and status = 'pending' and next_attempt_at > clock_timestamp()

-- hasten_outbox: make the messages due that waited for an open breaker, whose time may be an hour away
update {schema}.outbox
set next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
where 'outbox.' || kind = any(%(bulkheads)s::text[]) and status = 'pending' and error ->> 'kind' = %(reason)s

-- due_kinds: list the kinds with messages that have been due for a while, and for how long the oldest has
with recursive kinds as (
    (select kind from {schema}.outbox where status = 'pending' order by kind limit 1)
    union all
    select (select o.kind from {schema}.outbox o where o.status = 'pending' and o.kind > k.kind order by o.kind limit 1)
    from kinds k
    where k.kind is not null
),
firsts as (
    select k.kind, f.next_attempt_at
    from kinds k
    cross join lateral (
        select o.next_attempt_at from {schema}.outbox o
        where o.status = 'pending' and o.kind = k.kind
        order by o.next_attempt_at
        limit 1
    ) f
)
select kind, extract(epoch from clock_timestamp() - next_attempt_at)::float as due_for_s from firsts
where next_attempt_at <= clock_timestamp() - make_interval(secs => %(grace_s)s)
    and not exists (select from {schema}.holds where bulkhead = 'outbox.' || kind)
order by kind

-- lost_deliveries: find claimed messages whose lease is over, or whose worker is dead by its heartbeat
select o.message_id, o.tenant, o.run_id, o.step_index, o.item, o.kind, o.status, o.effect, o.attempt, o.failures,
    o.claim_token, o.lease_until,
    case
        when o.lease_until >= clock_timestamp() then 'worker_dead'
        when w.heartbeat_at > clock_timestamp() - make_interval(secs => %(dead_s)s) then 'overrun'
        else 'lease_over'
    end as evidence
from {schema}.outbox o
left join {schema}.workers w on w.worker_id = o.worker_id
where o.status in ('claimed', 'sending') and (
    o.lease_until < clock_timestamp()
    or ((o.status = 'claimed' or o.effect = 'keyed')
        and w.heartbeat_at < clock_timestamp() - make_interval(secs => %(dead_s)s)
        and exists (
            select from {schema}.workers judge
            where judge.worker_id = %(judge)s
                and judge.unbroken_since < clock_timestamp() - make_interval(secs => %(dead_s)s)
                and judge.heartbeat_at > clock_timestamp() - make_interval(secs => %(gap_s)s)
        ))
)
limit %(most)s

-- deliveries_by_process: list a worker's claimed messages with the process that has each
select message_id, tenant, run_id, step_index, item, kind, status, effect, attempt, failures, claim_token, lease_until,
    worker_pid, 'child_dead' as evidence
from {schema}.outbox
where status in ('claimed', 'sending') and worker_id = %(worker_id)s

-- lock_deliveries: lock the messages that a person can mean by the first digits of an id; two are too many
select message_id, tenant, run_id, step_index, item, kind, status, attempt, error from {schema}.outbox
where message_id between %(first)s and %(last)s and tenant = %(tenant)s
order by message_id
limit 2
for update

-- list_outbox: list messages, the newest first
select message_id, run_id, step_index, item, kind, payload, status, attempt, failures, error, response, next_attempt_at,
    created_at, sent_at
from {schema}.outbox
where tenant = %(tenant)s and (%(status)s::text is null or status = %(status)s)
    and (%(kind)s::text is null or kind = %(kind)s) and (%(run_id)s::uuid is null or run_id = %(run_id)s)
order by created_at desc, item desc
limit %(most)s

-- resolve_delivery: write what a person says became of a message, or have it sent again
update {schema}.outbox
set status = %(status)s, claim_token = null, lease_until = null, next_attempt_at = clock_timestamp(),
    failures = case when %(status)s = 'pending' then '{}'::jsonb else failures end,
    error = case when %(status)s = 'failed' then error end,
    sent_at = case when %(status)s = 'sent' then clock_timestamp() end, updated_at = clock_timestamp()
where message_id = %(message_id)s and status = %(before)s
