"""Declarations: what a user says of tools, resources and agents, checked when it is loaded."""
