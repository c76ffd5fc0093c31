"""The outside world: a process of its own that agentflow's tools, models and messages talk to, and what arrived at it.

It knows nothing of agentflow's tables. Each arrival is a line in a file, on disk before anything is answered, so that
what was done can be counted whoever dies afterwards.
"""
