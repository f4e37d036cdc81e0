#!lua flags=allow-oom
-- Keeps the leases that still belong to whom they were given, also expired ones, and writes down how
-- far they have come.
-- ARGV[2]  lease in milliseconds
-- ARGV[3…] for each: partition generation boot start end nonce position
-- Answers OK, then 1 (kept) or 0 (lost) for each
redis.call('ZCARD', READY)
redis.call('ZCARD', LEASED)
tick()
local deadline = int(now + ARGV[2])
local reply, members, leased, parts = { 'OK' }, {}, {}, {}
for at = 3, #ARGV, 7 do
  local partition, start = ARGV[at], ARGV[at + 3]
  local part = parts[partition] or part_of(partition)
  parts[partition] = part
  local unit = part and part.generation == ARGV[at + 1] and part.boot == ARGV[at + 2]
    and unit_of(partition, start)
  if unit and unit.finish == ARGV[at + 4] and unit.nonce == ARGV[at + 5] then
    local position = ARGV[at + 6]
    if tonumber(position) > tonumber(unit.position) then
      redis.call('HSET', UNITS .. partition, start,
        unit_line(unit.finish, position, unit.attempt, unit.nonce, unit.taken, unit.node))
    end
    local member = member_of(partition, start)
    members[#members + 1] = member
    leased[#leased + 1] = deadline
    leased[#leased + 1] = member
    reply[#reply + 1] = '1'
  else
    reply[#reply + 1] = '0'
  end
end
call_many('ZREM', READY, members, 1000)
call_many('ZADD', LEASED, leased, 1000)
return reply
