-- credential_generation: read how often a credential has been refreshed
select generation from {schema}.credentials where name = %(name)s

-- begin_refresh: take on a credential's refresh, unless it is newer than the one refused or somebody is at it
insert into {schema}.credentials as c (name, generation, refreshing_by, refreshing_until)
values (%(name)s, %(seen)s, %(worker_id)s, clock_timestamp() + make_interval(secs => %(hold_s)s))
on conflict (name) do update
set refreshing_by = excluded.refreshing_by, refreshing_until = excluded.refreshing_until
where c.generation <= %(seen)s and (c.refreshing_until is null or c.refreshing_until < clock_timestamp())
returning c.generation

-- end_refresh: count a credential's refresh, or note why it failed
update {schema}.credentials
set generation = generation + case when %(error)s::text is null then 1 else 0 end, error = %(error)s,
    refreshed_at = case when %(error)s::text is null then clock_timestamp() else refreshed_at end,
    refreshing_by = null, refreshing_until = null
where name = %(name)s and refreshing_by = %(worker_id)s
