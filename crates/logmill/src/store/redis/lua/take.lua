#!lua flags=allow-oom
-- Puts a few expired leases back in the queue, then leases out units that are visible.
-- ARGV[2…5]  node, nonce, lease in milliseconds, how many
-- Answers OK next, then for each: partition generation boot start end position attempt.
-- next: in how many milliseconds more may be had, 0 if at once, empty if nothing waits
local node, nonce, most, taken = ARGV[2], ARGV[3], tonumber(ARGV[5]), int(now)
local expired = redis.call('ZRANGE', LEASED, '-inf', taken, 'BYSCORE',
  'LIMIT', 0, MAX_RECLAIMED, 'WITHSCORES')
if #expired > 0 then
  redis.call('ZCARD', READY)
end
tick()

-- They keep the time at which their lease ended, so they come before what became visible later.
for index = 1, #expired, 2 do
  redis.call('ZREM', LEASED, expired[index])
  redis.call('ZADD', READY, expired[index + 1], expired[index])
end

local deadline = int(now + ARGV[4])
local members = redis.call('ZRANGE', READY, '-inf', taken, 'BYSCORE', 'LIMIT', 0, most)
local reply, leased, parts = { 'OK', '' }, {}, {}
for _, member in ipairs(members) do
  local partition, start = member:match('^(.*):(%d+)$')
  if not partition then
    corrupt(READY)
  end
  start = int(start)
  local part = parts[partition] or part_of(partition)
  parts[partition] = part
  -- A member without its unit can only be left by keys that were lost: it goes.
  local unit = part and unit_of(partition, start)
  if unit then
    local attempt = int(math.min(unit.attempt + 1, MAX_ATTEMPT))
    redis.call('HSET', UNITS .. partition, start,
      unit_line(unit.finish, unit.position, attempt, nonce, taken, node))
    leased[#leased + 1] = deadline
    leased[#leased + 1] = member
    local size = #reply
    reply[size + 1], reply[size + 2], reply[size + 3] = partition, part.generation, part.boot
    reply[size + 4], reply[size + 5] = start, unit.finish
    reply[size + 6], reply[size + 7] = unit.position, attempt
  end
end
if #members > 0 then
  redis.call('ZREM', READY, unpack(members))
end
if #leased > 0 then
  redis.call('ZADD', LEASED, unpack(leased))
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
