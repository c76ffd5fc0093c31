-- lease_page: find the topic that has waited longest for a page, and lease its page; at most one row
with due as (
    select a.tenant, a.topic
    from {schema}.alerts a
    left join {schema}.pages p on p.tenant = a.tenant and p.topic = a.topic
    where a.last_at > (select clock_timestamp() - make_interval(secs => %(history_s)s))
        and (p.leased_until is null or p.leased_until < clock_timestamp())
        and (
            p.paged_at is null
            or (a.last_at > p.paged_at and p.paged_at < clock_timestamp() - make_interval(secs => %(period_s)s))
        )
    order by a.last_at
    limit 1
),
leased as (
    insert into {schema}.pages as p (tenant, topic, leased_until, tries)
    select tenant, topic, clock_timestamp() + make_interval(secs => %(lease_s)s), 1 from due
    on conflict (tenant, topic) do update set leased_until = excluded.leased_until, tries = p.tries + 1
    where (p.leased_until is null or p.leased_until < clock_timestamp())
        and (p.paged_at is null or p.paged_at < clock_timestamp() - make_interval(secs => %(period_s)s))
    returning p.tenant, p.topic, p.paged_at, p.leased_until, p.tries, p.taken_by
),
told as (
    select a.id, a.cause, a.message, a.run_id, a.step_index, a.last_at
    from {schema}.alerts a
    join leased l on l.tenant = a.tenant and l.topic = a.topic
    where a.last_at > coalesce(l.paged_at, (select clock_timestamp() - make_interval(secs => %(history_s)s)))
)
select l.tenant, l.topic, l.leased_until, l.tries, l.taken_by, newest.cause, newest.message,
    newest.run_id::text as run_id, newest.step_index, greatest(statement_timestamp(), newest.last_at) as looked_at,
    (select count(*) - 1 from told) as others
from leased l
cross join lateral (select * from told order by last_at desc, id desc limit 1) newest

-- mark_paged: say that a page went out, unless its lease was somebody else's by then
update {schema}.pages set paged_at = %(looked_at)s, leased_until = null, tries = 0, taken_by = '{}'
where tenant = %(tenant)s and topic = %(topic)s and leased_until = %(leased_until)s

-- put_off_page: let a page that did not reach everybody be tried again later, unless its lease was somebody else's
update {schema}.pages
set leased_until = clock_timestamp() + make_interval(secs => %(pause_s)s), taken_by = %(taken_by)s::text[]
where tenant = %(tenant)s and topic = %(topic)s and leased_until = %(leased_until)s
