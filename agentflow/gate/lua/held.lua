-- Lists for each bulkhead what a holder has there.
local holder, found = ARGV[1], {}
for first = 1, #KEYS, 4 do
  local held = {}
  for _, member in ipairs(redis.call('ZRANGE', keys_from(first).slots, 0, -1)) do
    if string.sub(member, 1, #holder) == holder then
      held[#held + 1] = member
    end
  end
  found[#found + 1] = held
end
return found
