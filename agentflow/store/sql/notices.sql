-- next_notice: read the number that a locked run's next notice gets
select coalesce(max(item) + 1, 0) as item from {schema}.outbox where run_id = %(run_id)s and step_index = -1
