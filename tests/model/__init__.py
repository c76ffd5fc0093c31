"""The step protocol as state machines, explored to their last state; `python -m tests.model` prints what that shows.

One big machine would explode, so each concern has a small one, that is read as prose:

    step         one step from its message to its outcome, for each effect class: claim, call, record, recovery
    continuing   a run whose steps are continued: recorded, and the next one claimed, in one transaction
    join         siblings of one run that are recorded at the same time
    key          runs that use one business key
    undoing      runs that use one business key, and undo what they did under it
    outbox       a batch of messages in a relay's hands
    budget       parallel model calls under one ceiling
    approval     a call that a person has approved, and arguments that change
    heartbeat    judging who is dead, through an outage of the database

A machine (machine.py) gives the moves that can be made in a state, says what is broken in it, and whether it is an
end. The explorer (explorer.py) visits every state that can be reached, in order of distance: nothing may be broken in
any, and from each one an end must be in reach without another fault. A guard is a flag of its machine, named after
its rule in the protocol; with any one of them switched off the explorer must find a violation (proof.py).

What the machines take for granted is what the classes' first table has the tools promise: `keyed` tools honour their
key; nothing of a `verified` tool arrives later than `settle_s`; what an attempt of an `idempotent` tool sent has
arrived by the end of its lease, or of its process. A virtual machine that is paused as a whole is not in them.
"""
