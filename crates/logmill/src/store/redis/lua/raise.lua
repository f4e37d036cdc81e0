#!lua flags=allow-oom
-- Lifts a watermark that is found behind Kafka's. Units below go; one that straddles it is cut there
-- and is ready again, whoever held it.
-- ARGV[2…5]  partition, generation, boot, watermark
-- Answers OK watermark | NOSTATE | STALE generation boot
local partition, to = ARGV[2], tonumber(ARGV[5])
local part, refusal = part_in(partition, ARGV[3], ARGV[4])
tick()
if not part then
  return refusal
end
if to <= tonumber(part.watermark) then
  return { 'OK', part.watermark }
end

redis.call('ZCARD', READY)
redis.call('ZCARD', LEASED)
local wait, waits = WAIT .. partition, {}
if part.leased then
  for _, start in ipairs(redis.call('ZRANGE', wait, '-inf', '(' .. int(to), 'BYSCORE')) do
    waits[start] = true
  end
end
local below = redis.call('ZRANGE', DONE .. partition, '-inf', int(to), 'BYSCORE')
local watermark = to
for _, member in ipairs(below) do
  local _, finish = done_bounds(partition, member)
  watermark = math.max(watermark, finish)
end

-- Whether a lane's unit that waits was taken back in this turn.
local function came_back(unit)
  return unit.nonce ~= '0' and tonumber(unit.taken) >= part.since
end

local starts, members = {}, {}
local straddler
for _, start in ipairs(redis.call('HKEYS', UNITS .. partition)) do
  if tonumber(start) < to then
    local unit = unit_of(partition, start)
    if tonumber(unit.finish) > to then
      straddler = unit
    end
    starts[#starts + 1] = start
    members[#members + 1] = member_of(partition, start)
    if part.leased and not waits[start] then
      part.leased = part.leased - 1
    elseif part.leased and came_back(unit) then
      part.back = part.back - 1
    end
  end
end
if part.leased then
  members[#members + 1] = member_of(partition, 0)
  redis.call('ZREMRANGEBYSCORE', wait, '-inf', '(' .. int(to))
end

call_many('HDEL', UNITS .. partition, starts, 1000)
call_many('ZREM', READY, members, 1000)
call_many('ZREM', LEASED, members, 1000)
call_many('ZREM', DONE .. partition, below, 1000)
if straddler then
  local position = int(math.max(straddler.position, to))
  local line = unit_line(straddler.finish, position, straddler.attempt, '0', '0', '0', '')
  if not part.leased then
    redis.call('ZADD', READY, int(now), member_of(partition, to))
  else
    -- Nobody can show its new range, so its node has lost it. That it was given still counts: what
    -- lies above must not be settled before it is handled again.
    line = unit_line(straddler.finish, position, straddler.attempt, straddler.nonce, straddler.taken,
      int(now), straddler.node)
    redis.call('ZADD', wait, int(to), int(to))
    if came_back(straddler) then
      part.back, part.holder = part.back + 1, ''
    end
  end
  redis.call('HSET', UNITS .. partition, int(to), line)
end
if part.leased then
  place_lane(partition, part)
end
part.watermark = int(watermark)
part.planned = int(math.max(part.planned, to))
write_part(partition, part)
wake()
return { 'OK', part.watermark }
