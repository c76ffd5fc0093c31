-- Closes a breaker and forgets its failures.
local keys = breaker_keys(KEYS, 1)
close_breaker(keys, read_breaker(keys, clock()))
