-- hold_bulkhead: let no more calls through, on an operator's word
insert into {schema}.holds (bulkhead, reason, held_by)
values (%(bulkhead)s, %(reason)s, %(held_by)s)
on conflict (bulkhead) do update set reason = excluded.reason, held_by = excluded.held_by

-- release_bulkhead: let calls through again
delete from {schema}.holds where bulkhead = %(bulkhead)s

-- hasten_denied: make the steps due that waited before some bulkheads for a reason that is gone
update {schema}.agent_steps
set next_attempt_at = clock_timestamp(), hinted_at = null, hints = 0
where bulkhead = any(%(bulkheads)s::text[]) and status = 'pending' and waiting_reason = %(reason)s

-- waiting_at_gate: count the steps that wait before each bulkhead
select bulkhead, count(*) as steps from {schema}.agent_steps
where status = 'pending' and waiting_reason = any(%(gated)s::text[]) and bulkhead is not null
group by bulkhead

-- held_bulkheads: list what operators have stopped
select bulkhead, reason, held_by, held_at from {schema}.holds order by bulkhead
