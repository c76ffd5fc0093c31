-- Owns the keys by name, their lives, and the time: seconds by the server's clock.
local DAY_S = 86400
local SHORTEST_LIFE_S = 60

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function exactly(number)
  return string.format('%.6f', number)
end

local function breaker_keys(list, first)
  return {breaker = list[first], failures = list[first + 1], probes = list[first + 2]}
end

-- The order is the one of Keys.of in keys.py.
local function keys_from(first)
  local keys = breaker_keys(KEYS, first + 4)
  keys.standing, keys.slots, keys.waiters, keys.woken = KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  return keys
end

-- Twice as long as asked, so that most calls have to look only. What is over is told by scores, not by this.
local function keep(key, seconds)
  seconds = math.max(seconds, SHORTEST_LIFE_S)
  if redis.call('PTTL', key) < seconds * 1000 then
    redis.call('PEXPIRE', key, math.ceil(seconds * 2000))
  end
end
