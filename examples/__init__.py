"""Agents to read and to start from."""
