"""Growth: what a long history costs the runs of today. `python -m bench.growth [--runs 1000000] [--steps 10]`.

Two stacks stand side by side, one with empty tables and one whose tables are filled by SQL with runs of the last twelve
months. The ordinary load goes to the one and the other in turns, so that what disturbs one disturbs both.

agents.py      whose runs make up the history, and the load
templates.py   real runs of theirs, kept as they left their rows
shape.py       how the rows of a kept run become those of another
filling.py     the tables, filled in batches
tables.py      how big tables and indexes are, what is dead in them, which updates were HOT
indexes.py     which indexes nothing uses
settings.py    storage settings of tables, tried one after the other under the load
"""
