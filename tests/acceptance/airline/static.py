"""Owns the airline's tools that look at no row."""

from __future__ import annotations

import json

from tests.acceptance.airline.arithmetic import evaluate

AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}


def list_all_airports() -> str:
    return json.dumps(AIRPORTS)


def calculate(expression: str) -> str:
    return str(round(float(evaluate(expression)), 2))


def think(thought: str) -> str:
    return ""


def transfer_to_human_agents(summary: str) -> str:
    return "Transfer successful"
