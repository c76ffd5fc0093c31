"""The checker: reads the database and the outside world's own files after the faults are over, and says what is wrong.

It shares no code with what it judges: its statements are its own, and so is its table of legal transitions.
"""
