-- Owns a breaker. Closed: no `open_until`. Open: it lies ahead. Half open: it has passed, and probes may go.
local LONGEST_OPENING_S = 600

local function read_breaker(keys, now)
  local read = redis.call('HMGET', keys.breaker, 'generation', 'open_until', 'openings')
  local breaker = {
    generation = tonumber(read[1]) or 0,
    open_until = tonumber(read[2]) or 0,
    openings = tonumber(read[3]) or 0,
    state = 'closed',
  }
  if read[2] then
    breaker.state = now < breaker.open_until and 'open' or 'half_open'
  end
  return breaker
end

-- The generation is the fence: what was admitted before this says nothing any more.
local function open_breaker(keys, breaker, until_at, openings, reason, now)
  redis.call('HSET', keys.breaker, 'generation', breaker.generation + 1, 'open_until', until_at,
    'openings', openings, 'reason', reason)
  redis.call('DEL', keys.probes)
  keep(keys.breaker, until_at - now + DAY_S)
end

local function close_breaker(keys, breaker)
  redis.call('HSET', keys.breaker, 'generation', breaker.generation + 1)
  redis.call('HDEL', keys.breaker, 'open_until', 'openings', 'reason')
  redis.call('DEL', keys.failures, keys.probes)
  keep(keys.breaker, DAY_S)
end

local function trip(keys, breaker, terms, reason, now, draw)
  local at_most_s = math.max(LONGEST_OPENING_S, terms.open_s)
  local seconds = math.min(at_most_s, terms.open_s * 2 ^ math.min(breaker.openings, 60))
  open_breaker(keys, breaker, now + seconds * (1 + draw / 5), breaker.openings + 1, reason, now)
end

local function count_failure(keys, breaker, terms, id, now, draw)
  redis.call('ZREMRANGEBYSCORE', keys.failures, '-inf', now - terms.within_s)
  redis.call('ZADD', keys.failures, now, id)
  keep(keys.failures, terms.within_s)
  if redis.call('ZCARD', keys.failures) >= terms.failures then
    trip(keys, breaker, terms, string.format('%d failures within %g s', terms.failures, terms.within_s), now, draw)
  end
end

local function hear_probe(keys, breaker, terms, verdict, throttled, now, draw)
  if verdict == 'failure' then
    trip(keys, breaker, terms, 'a probe failed', now, draw)
  elseif not throttled then
    close_breaker(keys, breaker)
  end
end
