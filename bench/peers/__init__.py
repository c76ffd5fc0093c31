"""agentflow beside its peers: `python -m bench.peers [--rounds N] [--runs N] [--only NAME ...]`, or `make bench-peers`.

The common work is a run of five steps, one after the other, that do nothing and return a small dict; each step's
result is durable in Postgres before the next step begins. Every peer does it on the same servers, in a database that
is made for it, and every measurement comes right after one of the floor: bare transactions on that server.

catalogue.py       who takes part, with which settings, and what tells that a run of it is done
environments.py    a virtualenv for each peer, of what pins/ names, which is made on first use
inside.py          what runs in there: a peer's module, to make its tables, to work or to submit
servers.py         Postgres and Valkey, which all share
crew.py            a peer's processes
measuring.py       one measurement of one peer: alone, then all at once
floor.py           the floor
rounds.py          who is measured when
outcomes.py        medians of the rounds, and ratios
table.py, plot.py  how they are shown

The other modules are the peers. Their environments have nothing of agentflow: work.py, inside.py and they import none
of it, but for agentflow_itself.py.
"""
