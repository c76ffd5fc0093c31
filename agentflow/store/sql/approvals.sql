-- insert_approval: ask a person about a step that was just added; the question expires when the step is due
insert into {schema}.approvals (approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, expires_at)
select %(approval_id)s, s.tenant, s.run_id, s.step_index, %(kind)s, s.tool_name, s.args_hash, %(asked)s::json,
    coalesce(s.next_attempt_at, clock_timestamp())
from {schema}.agent_steps s
where s.run_id = %(run_id)s and s.step_index = %(step_index)s
on conflict (run_id, step_index) do nothing

-- read_approval: read what a person is asked, without a lock
select
    approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, status, asked_at, expires_at, decided_at,
    decided_by, reason, answer, used_at
from {schema}.approvals
where approval_id = %(approval_id)s

-- lock_approval: lock what a person is asked, after its run and its step
select
    approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, status, asked_at, expires_at, decided_at,
    decided_by, reason, answer, used_at
from {schema}.approvals
where approval_id = %(approval_id)s
for update

-- lock_approval_of_step: lock what a person is asked about a step, after the step
select
    approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, status, asked_at, expires_at, decided_at,
    decided_by, reason, answer, used_at
from {schema}.approvals
where run_id = %(run_id)s and step_index = %(step_index)s
for update

-- decide_approval: write what a person said, unless it has been decided
update {schema}.approvals
set status = %(status)s, decided_at = clock_timestamp(), decided_by = %(decided_by)s, reason = %(reason)s,
    answer = %(answer)s::json
where approval_id = %(approval_id)s and status = 'pending'
returning
    approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, status, asked_at, expires_at, decided_at,
    decided_by, reason, answer, used_at

-- use_approval: note when an approval was first relied on
update {schema}.approvals set used_at = coalesce(used_at, clock_timestamp())
where approval_id = %(approval_id)s and status = 'approved'

-- close_approvals (prepared): close what a run asks of people about steps that wait no more
update {schema}.approvals a
set status = 'closed', decided_at = clock_timestamp()
from {schema}.agent_steps s
where a.run_id = %(run_id)s and a.status = 'pending' and s.run_id = a.run_id and s.step_index = a.step_index
    and s.status <> 'pending'

-- ask_again: ask a person anew about the pending steps of a reopened run that nobody has approved
with again as (
    update {schema}.approvals a
    set status = 'pending', asked_at = clock_timestamp(), expires_at = clock_timestamp() + (a.expires_at - a.asked_at),
        decided_at = null, decided_by = null, reason = null
    from {schema}.agent_steps s
    where a.run_id = %(run_id)s and a.status in ('rejected', 'expired', 'closed') and s.run_id = a.run_id
        and s.step_index = a.step_index and s.status = 'pending'
    returning a.step_index, a.expires_at
)
update {schema}.agent_steps s
set next_attempt_at = again.expires_at, waiting_reason = s.person, hinted_at = null, hints = 0
from again
where s.run_id = %(run_id)s and s.step_index = again.step_index

-- release_approved: make a step due that a person has approved
update {schema}.agent_steps
set next_attempt_at = clock_timestamp(), waiting_reason = null, hinted_at = clock_timestamp(), hints = 0
where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'

-- approvals_between: find the approvals whose ids lie between two, two of them at most
select approval_id from {schema}.approvals
where tenant = %(tenant)s and approval_id between %(first)s and %(last)s
limit 2

-- list_approvals: list what people are asked and were asked, the open ones first, the newest first
select
    a.approval_id, a.run_id, a.step_index, a.kind, a.tool, a.asked, a.status, a.asked_at, a.expires_at, a.decided_at,
    a.decided_by, a.reason, a.answer, a.used_at, r.agent, r.user_id
from {schema}.approvals a
join {schema}.agent_runs r on r.run_id = a.run_id
where a.tenant = %(tenant)s and (%(run_id)s::uuid is null or a.run_id = %(run_id)s::uuid)
    and (%(status)s::text is null or a.status = %(status)s::text)
    and (%(approval_id)s::uuid is null or a.approval_id = %(approval_id)s::uuid)
order by (a.status = 'pending') desc, a.asked_at desc, a.approval_id
limit %(most)s
