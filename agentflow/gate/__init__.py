"""The gate: breakers, rates and slots in Redis, asked before a call and told after it, one atomic round trip each."""
