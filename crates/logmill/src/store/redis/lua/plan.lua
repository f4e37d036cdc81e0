#!lua
-- Cuts the next offsets into units, if the plan still ends where the caller thinks.
-- Refused whole when memory is short: nothing new is planned then, and the rest goes on.
-- ARGV[2…4]  partition, generation, boot
-- ARGV[5]    where the plan ends
-- ARGV[6]    how many units the partition may hold
-- ARGV[7…]   where each unit ends, ascending
-- Answers OK planned added | MOVED planned | FULL units | NOSTATE | STALE generation boot
local partition = ARGV[2]
local part, refusal = part_in(partition, ARGV[3], ARGV[4])
tick()
if not part then
  return refusal
end
if part.planned ~= ARGV[5] then
  return { 'MOVED', part.planned }
end
local units = redis.call('HLEN', UNITS .. partition)
local room = tonumber(ARGV[6]) - units
if room <= 0 then
  return { 'FULL', int(units) }
end
redis.call('ZCARD', READY)

local lines, ready, visible = {}, {}, int(now)
local added = math.min(room, #ARGV - 6)
for index = 7, 6 + added do
  local start, finish = part.planned, ARGV[index]
  lines[#lines + 1] = start
  lines[#lines + 1] = fresh_line(start, finish, '0')
  ready[#ready + 1] = visible
  ready[#ready + 1] = member_of(partition, start)
  part.planned = finish
end
redis.call('HSET', UNITS .. partition, unpack(lines))
redis.call('ZADD', READY, unpack(ready))
write_part(partition, part)
wake()
return { 'OK', part.planned, int(added) }
