"""The benchmark: `python -m bench [NAME ...]`, and two looks at where the time of a step goes.

start.py      from `agentflow dev` to the first finished run
steps.py      what a step costs, in the forms of forms.py and in turn with floor.py: pgbench on a server of its own
airline.py    the 200 recorded conversations
gate.py       what the gate adds to a step
storms.py     how runs come out of trouble
people.py     what runs cost that wait for people
outbox.py     one relay and a real mail server
recovery.py   from a worker's death to its step running again
rest.py       what a stack costs that has nothing to do

Each has one function, `measure(folder)`, which starts what it needs in a folder of its own, yields figures and ends
what it started. Nothing here passes or fails: a figure stands beside its goal, and the machine decides. Goals that
compare are ratios within one run.

profiling.py  `python -m bench profile`: py-spy on a worker under the load of the steps
queries.py    `python -m bench queries`: pg_stat_statements under the same load

How the figures of a step come about: rounds.py gives each form its turn, usage.py counts CPU by process, counters.py
reads what the servers count themselves, step_trips.py sends a short load through the counting proxy of proxy.py.
"""
