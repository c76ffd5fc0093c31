"""The way of a step: claim, call, classify, record, and the hints that follow.

    hint {run_id, step_index}
      |
    gate     a place is kept for it: pause, breaker, rate, slot (no gate yet: every step is admitted)
    claim    claiming.py: pending -> running, attempt + 1, token, lease, key, budget, in one transaction
    call     calling.py, thinking.py: one tool, or one model, under a dead man's timer
    record   recording.py: outcome, logs, outbox, key, budget, and what comes next, behind the fence
    hints    published after the commit; a lost one is found by the sweeper (recovery.py)

A decision needs no lock: it is made on the history at hand and written only if the run's version is still the one it
was made on. Else the outcome is recorded alone, and `advancing.py` decides on the history as it is then.
"""
