"""The operator's hand on runs: one verb a module.

    resolve   a step in doubt: it happened, it is to be made again, or it counts as failed
    cancel    a run stops; what it did is undone too, where that is asked for
    pause     a run begins nothing more until it is resumed
    retry     a failed run is taken up again at the step that failed, under the same key
    fork      a run is begun anew from one of its steps, as a copy

Each takes an order (on whose word, and why) and runs inside the caller's transaction: it locks the run, then the step,
writes down who did what, and returns the hints to publish. What is refused raises InterventionRefused with the reason,
and changes nothing. A transaction that is run again, since the answer of its commit was lost, finds its order carried
out and does nothing more.
"""
