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
local in_lane = part.leased
if in_lane then
  redis.call('ZCARD', WAIT .. partition)
end

local lines, places, visible = {}, {}, int(now)
local added = math.min(room, #ARGV - 6)
for index = 7, 6 + added do
  local start, finish = part.planned, ARGV[index]
  lines[#lines + 1] = start
  lines[#lines + 1] = fresh_line(start, finish, '0', in_lane and visible or '0')
  places[#places + 1] = in_lane and start or visible
  places[#places + 1] = in_lane and start or member_of(partition, start)
  part.planned = finish
end
redis.call('HSET', UNITS .. partition, unpack(lines))
redis.call('ZADD', in_lane and WAIT .. partition or READY, unpack(places))
-- A lane that is free and has units has its place already.
if in_lane and units == 0 then
  place_lane(partition, part)
end
write_part(partition, part)
wake()
return { 'OK', part.planned, int(added) }
