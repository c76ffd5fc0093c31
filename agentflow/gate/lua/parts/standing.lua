-- Owns how a bulkhead stands: its limit, its hold, its traffic, and the room that is left.
local CUT_EVERY_S = 1
local MINUTE_S = 60

local function read_standing(keys, terms)
  local read = redis.call('HMGET', keys.standing, 'limit', 'cut_at', 'held_until')
  return {
    -- Without a limit it was never cut, or has grown back.
    limit = math.min(tonumber(read[1]) or terms.slots, terms.slots),
    cut_at = tonumber(read[2]) or 0,
    held_until = tonumber(read[3]) or 0,
  }
end

local function cut_limit(keys, standing, in_use, now)
  if now - standing.cut_at >= CUT_EVERY_S then
    local limit = math.max(1, math.floor(math.min(standing.limit, in_use) / 2))
    redis.call('HSET', keys.standing, 'limit', limit, 'cut_at', now)
    keep(keys.standing, DAY_S)
  end
end

local function grow_limit(keys, standing, terms)
  if standing.limit < terms.slots then
    local limit = standing.limit + 1 / standing.limit
    if limit < terms.slots then
      redis.call('HSET', keys.standing, 'limit', limit)
    else
      redis.call('HDEL', keys.standing, 'limit')
    end
  end
end

local function hold(keys, seconds, now)
  local held_until = tonumber(redis.call('HGET', keys.standing, 'held_until')) or 0
  redis.call('HSET', keys.standing, 'held_until', math.max(held_until, now + seconds))
  keep(keys.standing, DAY_S)
end

-- The calls and the retries of this minute, and of the one before.
local function read_traffic(keys, now)
  local read = redis.call('HMGET', keys.standing, 'minute', 'calls', 'retries', 'calls_before', 'retries_before')
  local minute = math.floor(now / MINUTE_S)
  local age = minute - (tonumber(read[1]) or 0)
  local traffic = {minute = minute, calls = 0, retries = 0, calls_before = 0, retries_before = 0}
  if age == 0 then
    traffic.calls, traffic.retries = tonumber(read[2]), tonumber(read[3])
    traffic.calls_before, traffic.retries_before = tonumber(read[4]), tonumber(read[5])
  elseif age == 1 then
    traffic.calls_before, traffic.retries_before = tonumber(read[2]), tonumber(read[3])
  end
  return traffic
end

local function is_over_retry_budget(traffic, terms, now)
  local weight = 1 - now % MINUTE_S / MINUTE_S
  local calls = traffic.calls + traffic.calls_before * weight
  local retries = traffic.retries + traffic.retries_before * weight
  return retries + 1 > terms.retry_share * calls + terms.retry_floor
end

local function write_traffic(keys, traffic, calls, retries)
  redis.call('HSET', keys.standing, 'minute', traffic.minute,
    'calls', math.max(0, traffic.calls + calls), 'retries', math.max(0, traffic.retries + retries),
    'calls_before', traffic.calls_before, 'retries_before', traffic.retries_before)
end

-- How many more may be woken. Those that were, and have not come yet, will need their place.
local function room(keys, terms, now)
  local breaker, standing = read_breaker(keys, now), read_standing(keys, terms)
  if breaker.state == 'open' or standing.held_until > now then
    return 0
  end
  local on_their_way = redis.call('ZCOUNT', keys.woken, now, '+inf')
  local free = math.floor(standing.limit) - redis.call('ZCOUNT', keys.slots, now, '+inf') - on_their_way
  if breaker.state == 'half_open' then
    free = math.min(free, terms.probes - redis.call('ZCOUNT', keys.probes, now, '+inf') - on_their_way)
  end
  for _, rate in ipairs(terms.shared_rates) do
    free = math.min(free, rate_room(rate.key, rate, now) - on_their_way)
  end
  return math.max(0, free)
end
