#!lua
-- Builds a partition's state anew, if the generation is above the stored one.
-- Refused whole when memory is short.
-- ARGV[2…7]  partition, generation, boot, leader epoch, watermark, planned
-- ARGV[8]    how many settled ranges; then start, end of each: merged, above the watermark
-- then       how many units; then start, end of each
-- Answers OK | STALE generation boot
local partition, generation, boot, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stored = part_of(partition)
tick()
if stored and tonumber(stored.generation) >= tonumber(generation) then
  return { 'STALE', stored.generation, stored.boot }
end

remove_part(partition)

local at = 8
local done = {}
for _ = 1, tonumber(ARGV[at]) do
  done[#done + 1] = ARGV[at + 1]
  done[#done + 1] = ARGV[at + 1] .. ':' .. ARGV[at + 2]
  at = at + 2
end
at = at + 1
local in_lane, visible = is_lane(partition), int(now)
local units, places = {}, {}
for _ = 1, tonumber(ARGV[at]) do
  local start, finish = ARGV[at + 1], ARGV[at + 2]
  units[#units + 1] = start
  units[#units + 1] = fresh_line(start, finish, '0', in_lane and visible or '0')
  places[#places + 1] = in_lane and start or visible
  places[#places + 1] = in_lane and start or member_of(partition, start)
  at = at + 2
end
call_many('ZADD', DONE .. partition, done, 1000)
call_many('HSET', UNITS .. partition, units, 1000)
call_many('ZADD', in_lane and WAIT .. partition or READY, places, 1000)
local part =
  { generation = generation, boot = boot, epoch = epoch, watermark = ARGV[6], planned = ARGV[7] }
if in_lane then
  part.leased, part.back, part.since = 0, 0, 0
  place_lane(partition, part)
end
write_part(partition, part)
wake()
return { 'OK' }
