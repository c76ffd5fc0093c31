-- insert_intervention: write down what a person did to a run, and why
insert into {schema}.interventions (tenant, run_id, step_index, act, done_by, reason, details)
values (%(tenant)s, %(run_id)s, %(step_index)s, %(act)s, %(done_by)s, %(reason)s, %(details)s::json)

-- interventions_of_run: list what people did to a run, the oldest first
select step_index, act, done_by, reason, details, at from {schema}.interventions
where run_id = %(run_id)s
order by id
