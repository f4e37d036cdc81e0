#!lua flags=allow-oom
-- Puts a few expired leases back in the queue, then leases out units: the next of lanes that the node
-- holds and would have more of, then what is visible.
-- ARGV[2…5]  node, nonce, lease in milliseconds, how many
-- ARGV[6…]   lanes to have more of
-- Answers OK next, then for each: partition generation boot start end position attempt.
-- next: in how many milliseconds more may be had, 0 if at once, empty if nothing waits
local function split(key, member)
  local partition, start = member:match('^(.*) (%d+)$')
  if not partition then
    corrupt(key)
  end
  return partition, int(start)
end

local node, nonce, most, taken = ARGV[2], ARGV[3], tonumber(ARGV[5]), int(now)
local expired = redis.call('ZRANGE', LEASED, '-inf', taken, 'BYSCORE',
  'LIMIT', 0, MAX_RECLAIMED, 'WITHSCORES')
if #expired > 0 then
  redis.call('ZCARD', READY)
end
tick()

for index = 1, #expired, 2 do
  local member, ended = expired[index], expired[index + 1]
  if not is_lane(member) then
    -- It keeps the time at which its lease ended, so it comes before what became visible later.
    redis.call('ZREM', LEASED, member)
    redis.call('ZADD', READY, ended, member)
  else
    -- It waits at its offset again, and no more of its lane goes out above it.
    local partition, start = split(LEASED, member)
    local part, unit = part_of(partition), unit_of(partition, start)
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
end

local asked, deadline = #ARGV - 5, int(now + ARGV[4])
local places = redis.call('ZRANGE', READY, '-inf', taken, 'BYSCORE', 'LIMIT', 0, most)
local reply, leased, lines, parts, runs, used = { 'OK', '' }, {}, {}, {}, {}, 0
local one, none = {}, {}
-- Lanes to have more of come before places. Nothing is written until all is read.
for index = 1, asked + #places do
  local room = most - #leased / 2
  if room == 0 then
    break
  end
  local partition, place = ARGV[5 + index], nil
  if index > asked then
    used = index - asked
    partition, place = split(READY, places[used])
  end
  local part = parts[partition] or part_of(partition)
  parts[partition] = part
  -- A place without its partition or unit can only be left by keys that were lost: it goes.
  local starts, run = none, nil
  if part and not part.leased then
    one[1], starts = place, one
  elseif part and (place or part.holder == node) then
    -- The holder has more only while nothing came back: what waits lies above all that it has then.
    run = runs[partition] or {}
    starts = redis.call('ZRANGE', WAIT .. partition, #run, #run + math.min(LANE_RUN, room) - 1)
  end
  for _, start in ipairs(starts) do
    local unit = unit_of(partition, start)
    -- A lane's units go out as they lie in the log: one that is not visible yet stops it.
    if not unit or tonumber(unit.visible) > now then
      break
    end
    local attempt = int(math.min(unit.attempt + 1, MAX_ATTEMPT))
    local line = #lines
    lines[line + 1], lines[line + 2] = UNITS .. partition, start
    lines[line + 3] = unit_line(unit.finish, unit.position, attempt, nonce, taken, '0', node)
    leased[#leased + 1] = deadline
    leased[#leased + 1] = member_of(partition, start)
    local size = #reply
    reply[size + 1], reply[size + 2], reply[size + 3] = partition, part.generation, part.boot
    reply[size + 4], reply[size + 5] = start, unit.finish
    reply[size + 6], reply[size + 7] = unit.position, attempt
    if run then
      run[#run + 1] = start
      runs[partition] = run
    end
  end
  if run and place and #run > 0 then
    part.since, part.back, part.holder = now, 0, node
  end
end

for line = 1, #lines, 3 do
  redis.call('HSET', lines[line], lines[line + 1], lines[line + 2])
end
if used > 0 then
  redis.call('ZREM', READY, unpack(places, 1, used))
end
if #leased > 0 then
  redis.call('ZADD', LEASED, unpack(leased))
end
for partition, run in pairs(runs) do
  local part = parts[partition]
  part.leased = part.leased + #run
  redis.call('ZREM', WAIT .. partition, unpack(run))
  write_part(partition, part)
end

if #leased == 2 * most then
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
