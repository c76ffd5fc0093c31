"""Every statement that touches Postgres, and no decisions.

    run:   pending -> running <-> waiting_tool, waiting_human, paused, compensating -> done | failed | cancelled
    step:  pending -> running -> ok | error | in_doubt | pending;   pending -> skipped

Each transaction may be run again: what it does is compared and set on the run's version, or on a step's attempt and
token, so that a commit whose answer was lost is recognised and not repeated. Rows are locked in one order everywhere:
run, steps, idempotency records, outbox.
"""
