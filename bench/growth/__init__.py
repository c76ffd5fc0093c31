"""Growth: what a long history costs the runs of today. `python -m bench.growth [--runs 1000000] [--steps 10]`.

Two stacks stand side by side, one with empty tables and one whose tables are filled by SQL with runs of the last twelve
months. The ordinary load goes to the one and the other in turns, so that what disturbs one disturbs both.

agents.py      whose runs make up the history, and the load
templates.py   real runs of theirs, kept as they left their rows
filling.py     the tables, filled
months.py      the partitions of the months that are past
tables.py      how big tables and indexes are, what is dead in them, which updates were HOT
sweeps.py      what the sweeper's statements take
indexes.py     which indexes nothing uses
settings.py    storage settings of tables, tried one after the other under the load
report.py      the figures of all that

How rows are copied, and how two stacks are compared, is in `bench.loads`.
"""
