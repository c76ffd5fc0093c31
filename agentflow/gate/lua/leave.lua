-- Takes a slot back, hears what became of the call, and returns whom to wake. A slot that is not held any more says
-- nothing, but for how long the other side wants to be left alone.
local WOKEN_AT_MOST, WOKEN_FOR_S = 8, 1

local keys, first_rate, now = keys_from(1), 8, clock()
local terms = cjson.decode(ARGV[1])
local member, generation, is_retry = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local verdict, throttled, retry_after_s, draw = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])

local function give_back()
  for place, rate in ipairs(terms.rates) do
    give_rate_back(KEYS[first_rate + place - 1], rate, now)
  end
  write_traffic(keys, read_traffic(keys, now), -1, is_retry and -1 or 0)
  redis.call('ZREM', keys.probes, member)
end

local function hear_limit()
  if throttled then
    redis.call('ZREMRANGEBYSCORE', keys.slots, '-inf', now)
    -- The one that leaves counts: it was one too many.
    cut_limit(keys, read_standing(keys, terms), redis.call('ZCARD', keys.slots) + 1, now)
  elseif verdict == 'ok' then
    grow_limit(keys, read_standing(keys, terms), terms)
  end
end

local function hear_breaker()
  local breaker = read_breaker(keys, now)
  local was_probe = breaker.state ~= 'closed' and redis.call('ZREM', keys.probes, member) == 1
  if breaker.generation ~= generation then
    return
  elseif was_probe then
    hear_probe(keys, breaker, terms, verdict, throttled, now, draw)
  elseif breaker.state == 'closed' and verdict == 'failure' then
    count_failure(keys, breaker, terms, member, now, draw)
  end
end

local function wake()
  if redis.call('EXISTS', keys.waiters) == 0 then
    return {}
  end
  redis.call('ZREMRANGEBYSCORE', keys.woken, '-inf', now)
  local many = math.min(WOKEN_AT_MOST, room(keys, terms, now))
  local woken = redis.call('ZRANGE', keys.waiters, '-inf', now, 'BYSCORE', 'LIMIT', 0, many)
  for _, waiter in ipairs(woken) do
    redis.call('ZREM', keys.waiters, waiter)
    redis.call('ZADD', keys.woken, now + WOKEN_FOR_S, waiter)
    keep(keys.woken, WOKEN_FOR_S)
  end
  return woken
end

-- First, as in enter.lua: a full server still takes slots back.
local was_held = redis.call('ZREM', keys.slots, member) == 1
if retry_after_s > 0 then
  hold(keys, retry_after_s, now)
end
if was_held then
  if verdict == 'unused' then
    give_back()
  else
    hear_limit()
    hear_breaker()
  end
end
return wake()
