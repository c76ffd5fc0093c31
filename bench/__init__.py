"""The benchmark: `python -m bench [NAME ...] [--json]`.

start.py      from `agentflow dev` to the first finished run
steps.py      what a step costs, beside floor.py: bare transactions on the same server
airline.py    the 200 recorded conversations
recovery.py   from a worker's death to its step running again
rest.py       what a stack costs that has nothing to do

Each has one function, `measure(folder)`, which starts what it needs in a folder of its own, yields figures and ends
what it started. Nothing here passes or fails: a figure stands beside its goal, and the machine decides.
"""
