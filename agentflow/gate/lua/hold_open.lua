-- Opens a breaker for so many seconds; never shortens what it is open for already.
local keys, now = breaker_keys(KEYS, 1), clock()
local breaker = read_breaker(keys, now)
local until_at = now + tonumber(ARGV[1])
if until_at > breaker.open_until then
  open_breaker(keys, breaker, until_at, breaker.openings, ARGV[2], now)
end
