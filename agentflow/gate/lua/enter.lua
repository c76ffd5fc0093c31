-- Admits a step or denies it. Everything is checked before anything is taken. An admission is
-- {'admitted', generation, is it a probe}, a denial {reason, seconds}.
local NEXT_TRY_S, SPREAD_S, LONGEST_PROBE_WAIT_S = 5, 1, 5
local WAITERS_AT_MOST, WAITERS_FOR_S = 10000, 3600

local keys, first_rate, now = keys_from(1), 8, clock()
local terms = cjson.decode(ARGV[1])
local waiter, member, holder = ARGV[2], ARGV[3], ARGV[4]
local lease_s, is_retry, pool_slots, draw = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])
local next_try_s = NEXT_TRY_S * (0.8 + 0.4 * draw)

-- In the same script, so that room which frees just now is not lost on it. Nobody is woken before `from`.
local function deny(reason, after_s, from)
  redis.call('ZREMRANGEBYSCORE', keys.waiters, '-inf', now - WAITERS_FOR_S)
  if redis.call('ZCARD', keys.waiters) < WAITERS_AT_MOST then
    if from > now then
      redis.call('ZADD', keys.waiters, from, waiter)
    else
      -- Who waits already keeps its place.
      redis.call('ZADD', keys.waiters, 'LT', from, waiter)
    end
    keep(keys.waiters, WAITERS_FOR_S)
  end
  redis.call('HSET', keys.standing, 'terms', ARGV[1])
  keep(keys.standing, DAY_S)
  return {reason, exactly(after_s)}
end

local function longest_rate_wait_s()
  local longest_s = 0
  for place, rate in ipairs(terms.rates) do
    longest_s = math.max(longest_s, rate_wait_s(KEYS[first_rate + place - 1], rate, now))
  end
  return longest_s
end

local function is_pool_full(in_use)
  if pool_slots < 0 or in_use < pool_slots then
    return false
  end
  local own = 0
  for _, other in ipairs(redis.call('ZRANGE', keys.slots, 0, -1)) do
    if string.sub(other, 1, #holder) == holder then
      own = own + 1
    end
  end
  return own >= pool_slots
end

-- A write that needs no memory comes first: after one, a full server stops no script half way.
redis.call('ZREM', keys.woken, waiter)

local breaker = read_breaker(keys, now)
local is_probe = breaker.state == 'half_open'
if breaker.state == 'open' then
  return deny('breaker_open', breaker.open_until - now + SPREAD_S * draw, now)
elseif is_probe then
  redis.call('ZREMRANGEBYSCORE', keys.probes, '-inf', now)
  if redis.call('ZCARD', keys.probes) >= terms.probes then
    local soonest = redis.call('ZRANGE', keys.probes, 0, 0, 'WITHSCORES')
    return deny('breaker_open', math.min(LONGEST_PROBE_WAIT_S, soonest[2] - now) + SPREAD_S * draw, now)
  end
end

local standing = read_standing(keys, terms)
if standing.held_until > now then
  return deny('throttled', standing.held_until - now + SPREAD_S * draw, now)
end

local rate_s = longest_rate_wait_s()
if rate_s > 0 then
  return deny('rate_limit', rate_s, now + rate_s)
end

local traffic = read_traffic(keys, now)
if is_retry and is_over_retry_budget(traffic, terms, now) then
  return deny('retry_budget', next_try_s, now + next_try_s)
end

redis.call('ZREMRANGEBYSCORE', keys.slots, '-inf', now)
local in_use = redis.call('ZCARD', keys.slots)
if is_pool_full(in_use) then
  return deny('pool_full', next_try_s, now)
elseif in_use >= math.floor(standing.limit) then
  return deny('slots_full', next_try_s, now)
end

redis.call('ZADD', keys.slots, now + lease_s, member)
keep(keys.slots, lease_s)
if is_probe then
  redis.call('ZADD', keys.probes, now + lease_s, member)
  keep(keys.probes, lease_s)
end
for place, rate in ipairs(terms.rates) do
  take_rate(KEYS[first_rate + place - 1], rate, now)
end
write_traffic(keys, traffic, 1, is_retry and 1 or 0)
redis.call('HSET', keys.standing, 'terms', ARGV[1])
keep(keys.standing, DAY_S)
redis.call('ZREM', keys.waiters, waiter)
return {'admitted', tostring(breaker.generation), is_probe and '1' or '0'}
