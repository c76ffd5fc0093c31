-- Takes back what an attempt holds, whoever the holder was.
local keys = keys_from(1)
local known = redis.call('HGET', keys.standing, 'terms')
local probes = known and cjson.decode(known).breaker_keys[3]
for _, member in ipairs(redis.call('ZRANGE', keys.slots, 0, -1)) do
  if string.find(member, ARGV[1], 1, true) then
    redis.call('ZREM', keys.slots, member)
    if probes then
      redis.call('ZREM', probes, member)
    end
  end
end
