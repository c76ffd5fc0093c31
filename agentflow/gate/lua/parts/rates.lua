-- Owns rates, by GCRA: a key holds the time at which all that was taken would have come evenly.

-- A double of today's seconds is exact to a quarter of a microsecond only.
local ROUNDING_S = 0.000002

local function rate_wait_s(key, rate, now)
  local taken_until = math.max(tonumber(redis.call('GET', key)) or 0, now)
  return math.max(0, taken_until + rate.per_s / rate.calls - rate.per_s - ROUNDING_S - now)
end

local function rate_room(key, rate, now)
  local taken_until = math.max(tonumber(redis.call('GET', key)) or 0, now)
  return math.floor((now + rate.per_s + ROUNDING_S - taken_until) * rate.calls / rate.per_s)
end

local function take_rate(key, rate, now)
  local taken_until = math.max(tonumber(redis.call('GET', key)) or 0, now) + rate.per_s / rate.calls
  redis.call('SET', key, taken_until, 'PX', math.ceil((taken_until - now) * 1000))
end

local function give_rate_back(key, rate, now)
  local taken_until = (tonumber(redis.call('GET', key)) or 0) - rate.per_s / rate.calls
  if taken_until > now then
    redis.call('SET', key, taken_until, 'KEEPTTL')
  else
    redis.call('DEL', key)
  end
end
