-- Tells for each bulkhead how many more may be woken; -1 where nobody has entered yet.
local now, found = clock(), {}
for first = 1, #KEYS, 4 do
  local keys = keys_from(first)
  local known = redis.call('HGET', keys.standing, 'terms')
  if known then
    local terms = cjson.decode(known)
    local behind = breaker_keys(terms.breaker_keys, 1)
    keys.breaker, keys.failures, keys.probes = behind.breaker, behind.failures, behind.probes
    found[#found + 1] = room(keys, terms, now)
  else
    found[#found + 1] = -1
  end
end
return found
