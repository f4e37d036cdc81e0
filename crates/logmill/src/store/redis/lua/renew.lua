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
local reply, members, leased, parts, again = { 'OK' }, {}, {}, {}, {}
for at = 3, #ARGV, 7 do
  local partition, start = ARGV[at], ARGV[at + 3]
  local part = parts[partition] or part_of(partition)
  parts[partition] = part
  local unit = part and part.generation == ARGV[at + 1] and part.boot == ARGV[at + 2]
    and unit_of(partition, start)
  local held = unit and unit.finish == ARGV[at + 4] and unit.nonce == ARGV[at + 5]
  -- A node whose lane another had since must not go on in it, also when that one is done: the records
  -- before the unit have been handled again, and the unit's own have to follow.
  if held and part.leased and tonumber(unit.taken) < part.since then
    held = false
  end
  if held then
    local position = ARGV[at + 6]
    if tonumber(position) > tonumber(unit.position) then
      redis.call('HSET', UNITS .. partition, start,
        unit_line(unit.finish, position, unit.attempt, unit.nonce, unit.taken, unit.visible, unit.node))
    end
    local member = member_of(partition, start)
    if not part.leased then
      members[#members + 1] = member
    elseif part.back > 0 and redis.call('ZSCORE', WAIT .. partition, start) then
      again[partition] = again[partition] or {}
      again[partition][start] = true
    end
    leased[#leased + 1] = deadline
    leased[#leased + 1] = member
    reply[#reply + 1] = '1'
  else
    reply[#reply + 1] = '0'
  end
end
for partition, starts in pairs(again) do
  local part = parts[partition]
  for start in pairs(starts) do
    redis.call('ZREM', WAIT .. partition, start)
    part.leased, part.back = part.leased + 1, part.back - 1
  end
  -- It is held again, so not free for others.
  members[#members + 1] = member_of(partition, 0)
  write_part(partition, part)
end
call_many('ZREM', READY, members, 1000)
call_many('ZADD', LEASED, leased, 1000)
return reply
