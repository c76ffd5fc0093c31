-- hold_bulkhead: let no more calls through, on an operator's word
insert into {schema}.holds (bulkhead, reason, held_by)
values (%(bulkhead)s, %(reason)s, %(held_by)s)
on conflict (bulkhead) do update set reason = excluded.reason, held_by = excluded.held_by

-- release_bulkhead: let calls through again
delete from {schema}.holds where bulkhead = %(bulkhead)s

-- hasten_paused: make the steps due that waited for a bulkhead's release
update {schema}.agent_steps
set next_attempt_at = clock_timestamp(), hinted_at = null, hints = 0
where bulkhead = %(bulkhead)s and status = 'pending' and waiting_reason = 'tool_paused'

-- held_bulkheads: list what operators have stopped
select bulkhead, reason, held_by, held_at from {schema}.holds order by bulkhead
