"""`agentflow dev`: Postgres, Valkey, workers, schedule and Flower, as children of one process.

running.py     the beginning: probe, services, schema, children; and the end
stack.py       one loop over what happens (events.py): a child ended, a file was edited, a person wants to stop
child.py       one child: started, asked to end, killed when it does not, its lines handed on
attached.py    what a child starts with: it ends with its starter, however that dies
probe.py       the declarations, imported in a process of their own, so that a broken edit breaks nothing
edits.py       which files the declarations come from, and when they change
readiness.py   when the workers have registered

     probe --------> services ------> children ------> ready
       |                                 ^  |
edit --+--> ok: workers end and start ---+  +--> ended by itself: again, with a growing pause, a bounded number of times
       +--> broken: said, and everything stays
"""
