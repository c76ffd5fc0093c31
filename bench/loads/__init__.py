"""Loads of other kinds than steps that do nothing. Each module's `measure(folder)` yields figures, as in `bench`.

llm.py           runs of a model that takes its time: what is added to a step beside what it waits for
fanout.py        a hundred tool calls at once, and the step that joins them
parked.py        a hundred thousand runs that wait: what they cost at rest and under load, and how fast they wake
prompts.py       steps with a prompt of 20 KB
submissions.py   ten thousand submissions at once
backlog.py       the sweeper after the loss of all hints, the relay after an outage
"""
