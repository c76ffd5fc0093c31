"""Crash points: a process is killed, or frozen and thawed, before and after everything that it says to anybody.

    count     a victim does its act unharmed; the seam lists its messages to Postgres, Redis calls and outside calls
    strike    for each of these points another victim, a process of its own, is killed there, or stopped
    take over the worker's main process reports it or waits for its lease, the sweeper sweeps, a sibling does the rest
    thaw      who was stopped goes on, once others have finished its work; its own timer ends it, or its fence
    judge     the checker reads the database and what arrived outside

`python -m tests.crashpoints` does all of it, `test_crashpoints.py` a sample. What the seam wraps are the libraries that
production speaks through, and nothing of agentflow's. Most acts are one step; those of `mixed_steps` and the next few
go on from step to step, as by default, and who takes over goes on too. Victims run with short leases: see `haste`.
"""
