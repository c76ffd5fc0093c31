"""Owns the airline's agent as workers load it; AIRLINE_WRITES is the effect of its writes."""

from __future__ import annotations

import os

from tests.acceptance.airline.declaration import declare

airline = declare(os.environ.get("AIRLINE_WRITES", "transactional"))
