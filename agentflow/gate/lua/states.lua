-- Tells how bulkheads stand, eight values each.
local now, found = clock(), {}

local function breaker_state(keys, terms)
  local breaker = read_breaker(keys, now)
  local since = terms and now - terms.within_s or '-inf'
  return breaker.state, exactly(math.max(0, breaker.open_until - now)),
    redis.call('ZCOUNT', keys.failures, since, '+inf'), redis.call('HGET', keys.breaker, 'reason') or ''
end

for first = 1, #KEYS, 7 do
  local keys = keys_from(first)
  local known = redis.call('HGET', keys.standing, 'terms')
  local terms = known and cjson.decode(known)
  local standing = read_standing(keys, terms or {slots = 0})
  local state, open_for_s, failures, reason = breaker_state(keys, terms)
  found[#found + 1] = {
    state, open_for_s, failures, redis.call('ZCOUNT', keys.slots, now, '+inf'), math.floor(standing.limit),
    redis.call('ZCARD', keys.waiters), exactly(math.max(0, standing.held_until - now)), reason,
  }
end
return found
