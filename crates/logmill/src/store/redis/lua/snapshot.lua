#!lua flags=no-writes
-- One partition's state. Reads only.
-- ARGV[2]  partition
-- Answers OK generation boot epoch watermark planned units ranges, then start:end of each settled
-- range, the lowest MAX_DONE_SHOWN | NOSTATE
local partition = ARGV[2]
local part = part_of(partition)
if not part then
  return { 'NOSTATE' }
end
local units = redis.call('HLEN', UNITS .. partition)
local ranges = redis.call('ZCARD', DONE .. partition)
local reply = {
  'OK', part.generation, part.boot, part.epoch, part.watermark, part.planned, int(units), int(ranges),
}
for _, member in ipairs(redis.call('ZRANGE', DONE .. partition, 0, MAX_DONE_SHOWN - 1)) do
  reply[#reply + 1] = member
end
return reply
