"""The stateful machine: Hypothesis moves the production engine on a real Postgres, and looks at every row after it.

A hint is in a bag until a worker takes it; an attempt is the production executor on a thread that stops wherever the
machine says, so that many are open at once and any may crash, go on, or come back after its lease; time passes in the
rows. `outside` is the world that tools act on and that knows no table; `observer` is a trigger that writes down each
change of a step as it commits. `rules_of_*` are what must hold after every move, with tables of their own.

`python -m pytest tests/stateful` runs the short form; `STATEFUL_EXAMPLES=2000 STATEFUL_STEPS=60` a longer one.
"""
