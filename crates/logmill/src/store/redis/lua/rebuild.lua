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
local units, ready = {}, {}
for _ = 1, tonumber(ARGV[at]) do
  local start, finish = ARGV[at + 1], ARGV[at + 2]
  units[#units + 1] = start
  units[#units + 1] = fresh_line(start, finish, '0')
  ready[#ready + 1] = int(now)
  ready[#ready + 1] = member_of(partition, start)
  at = at + 2
end
call_many('ZADD', DONE .. partition, done, 1000)
call_many('HSET', UNITS .. partition, units, 1000)
call_many('ZADD', READY, ready, 1000)
write_part(partition, {
  generation = generation,
  boot = boot,
  epoch = epoch,
  watermark = ARGV[6],
  planned = ARGV[7],
})
wake()
return { 'OK' }
