#!lua flags=allow-oom
-- Puts a few expired leases back in the queue, then leases out units: the next of lanes that the node
-- holds and would have more of, then what is visible.
-- ARGV[2…5]  node, nonce, lease in milliseconds, how many
-- ARGV[6…]   lanes to have more of
-- Answers OK next, then for each: partition generation boot start end position attempt.
-- next: in how many milliseconds more may be had, 0 if at once, empty if nothing waits
local node, nonce, most, taken = ARGV[2], ARGV[3], tonumber(ARGV[5]), int(now)
local expired = redis.call('ZRANGE', LEASED, '-inf', taken, 'BYSCORE',
  'LIMIT', 0, MAX_RECLAIMED, 'WITHSCORES')
if #expired > 0 then
  redis.call('ZCARD', READY)
end
tick()

local parts = {}
local function part_once(partition)
  parts[partition] = parts[partition] or part_of(partition)
  return parts[partition]
end

-- A unit of a lane waits at its offset again, and no more of the lane goes out above it.
local function take_back(member, ended)
  local partition, start = member_parts(LEASED, member)
  local part, unit = part_once(partition), unit_of(partition, start)
  redis.call('ZCARD', WAIT .. partition)
  redis.call('ZREM', LEASED, member)
  if part and unit then
    redis.call('HSET', UNITS .. partition, start, unit_line(unit.finish, unit.position, unit.attempt,
      unit.nonce, unit.taken, int(ended), unit.node))
    redis.call('ZADD', WAIT .. partition, start, start)
    part.leased, part.back, part.holder = part.leased - 1, part.back + 1, ''
    write_part(partition, part)
    place_lane(partition, part)
  end
end

-- They keep the time at which their lease ended, so they come before what became visible later.
for index = 1, #expired, 2 do
  local member, ended = expired[index], expired[index + 1]
  if is_lane(member) then
    take_back(member, ended)
  else
    redis.call('ZREM', LEASED, member)
    redis.call('ZADD', READY, ended, member)
  end
end

-- What is leased. Nothing of it is written until all is read.
local chosen, turns = {}, {}
local function choose(partition, part, start, unit)
  chosen[#chosen + 1] = { partition = partition, part = part, start = start, unit = unit }
end

-- Chooses a lane's next units, as they lie in the log: one that is not visible yet stops it. Returns
-- whether there was one.
local function choose_run(partition, part)
  local run = turns[partition] or {}
  local room = math.min(LANE_RUN, most - #chosen)
  for _, start in ipairs(redis.call('ZRANGE', WAIT .. partition, #run, #run + room - 1)) do
    local unit = unit_of(partition, start)
    if not unit or tonumber(unit.visible) > now then
      break
    end
    choose(partition, part, start, unit)
    run[#run + 1] = start
    turns[partition] = run
  end
  return #run > 0
end

for at = 6, #ARGV do
  local part = part_once(ARGV[at])
  -- Only while nothing came back: what waits lies above all that the node has then.
  if #chosen < most and part and part.holder == node then
    choose_run(ARGV[at], part)
  end
end
local places = {}
for _, member in ipairs(redis.call('ZRANGE', READY, '-inf', taken, 'BYSCORE', 'LIMIT', 0, most - #chosen)) do
  if #chosen == most then
    break
  end
  places[#places + 1] = member
  local partition, start = member_parts(READY, member)
  local part = part_once(partition)
  if part and part.leased then
    if choose_run(partition, part) then
      part.since, part.back, part.holder = now, 0, node
    end
  elseif part then
    -- A member without its unit can only be left by keys that were lost: it goes.
    local unit = unit_of(partition, start)
    if unit then
      choose(partition, part, start, unit)
    end
  end
end

local deadline = int(now + ARGV[4])
local reply, leased = { 'OK', '' }, {}
for _, one in ipairs(chosen) do
  local partition, part, start, unit = one.partition, one.part, one.start, one.unit
  local attempt = int(math.min(unit.attempt + 1, MAX_ATTEMPT))
  redis.call('HSET', UNITS .. partition, start,
    unit_line(unit.finish, unit.position, attempt, nonce, taken, '0', node))
  leased[#leased + 1] = deadline
  leased[#leased + 1] = member_of(partition, start)
  local size = #reply
  reply[size + 1], reply[size + 2], reply[size + 3] = partition, part.generation, part.boot
  reply[size + 4], reply[size + 5] = start, unit.finish
  reply[size + 6], reply[size + 7] = unit.position, attempt
end
if #places > 0 then
  redis.call('ZREM', READY, unpack(places))
end
if #leased > 0 then
  redis.call('ZADD', LEASED, unpack(leased))
end
for partition, run in pairs(turns) do
  local part = parts[partition]
  part.leased = part.leased + #run
  redis.call('ZREM', WAIT .. partition, unpack(run))
  write_part(partition, part)
end

if #chosen == most then
  reply[2] = '0'
else
  local first = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2]
  local ends = redis.call('ZRANGE', LEASED, 0, 0, 'WITHSCORES')[2]
  if first or ends then
    local next = math.min(tonumber(first or ends), tonumber(ends or first))
    reply[2] = int(math.max(0, next - now))
  end
end
return reply
