#!lua flags=allow-oom
-- Ends a unit: what of its range is in no rest is settled, each rest becomes a unit of its own.
-- The unit must be the one held: partition, generation, boot, start, end and nonce. A lease that has
-- expired will do while nobody else took the unit.
-- ARGV[2…7]  partition, generation, boot, start, end, nonce
-- ARGV[8]    how many rests; then start, end, delay in milliseconds, attempt of each, ascending
-- then       how many gaps; then start, end, cause of each
-- Answers DONE watermark | ALREADY | NOT generation|boot|range|nonce | FULL units | NOSTATE
local partition, start, finish = ARGV[2], ARGV[5], ARGV[6]
local part = part_of(partition)
tick()
if not part then
  return { 'NOSTATE' }
end
if part.generation ~= ARGV[3] then
  return { 'NOT', 'generation' }
end
if part.boot ~= ARGV[4] then
  return { 'NOT', 'boot' }
end

local done, watermark = DONE .. partition, tonumber(part.watermark)
local has_done = redis.call('ZCARD', done) > 0

-- The settled range that holds or ends at the offset, if one begins at or below it.
local function done_before(offset)
  local member = has_done and redis.call('ZRANGE', done, int(offset), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
  if member then
    return member, done_bounds(partition, member)
  end
end

local function is_settled(from, to)
  if to <= watermark then
    return true
  end
  local member, _, ends = done_before(from)
  return member and ends >= to
end

local function settle(from, to)
  if from > watermark then
    local member, begins, ends = done_before(from)
    if member and ends == from then
      redis.call('ZREM', done, member)
      from = begins
    end
  end
  local after = has_done and redis.call('ZRANGE', done, int(to), int(to), 'BYSCORE')[1]
  if after then
    redis.call('ZREM', done, after)
    local _, ends = done_bounds(partition, after)
    to = ends
  end
  -- Only contiguous settled offsets move the watermark: above a hole they wait in done.
  if from == watermark then
    watermark = to
  else
    redis.call('ZADD', done, int(from), int(from) .. ':' .. int(to))
    has_done = true
  end
end

-- Calls act with each part of the range that is in no rest, until it says no.
local rests = tonumber(ARGV[8])
local function each_settled(act)
  local from = tonumber(start)
  for at = 9, 5 + 4 * rests, 4 do
    local to = tonumber(ARGV[at])
    if from < to and not act(from, to) then
      return false
    end
    from = tonumber(ARGV[at + 1])
  end
  local to = tonumber(finish)
  return from >= to or act(from, to)
end

local unit = unit_of(partition, start)
local mismatch
if not unit or unit.finish ~= finish then
  mismatch = 'range'
elseif unit.nonce ~= ARGV[7] then
  mismatch = 'nonce'
elseif part.leased and (part.back > 0 or tonumber(unit.taken) < part.since) then
  -- In a lane, nothing is settled past what was taken back, nor itself once it was: somebody handles
  -- that again, and what lies above it must be handled after it. A renew that keeps it mends that.
  mismatch = 'nonce'
end
if mismatch then
  local any = false
  local all = each_settled(function(from, to)
    any = true
    return is_settled(from, to)
  end)
  if any and all then
    return { 'ALREADY' }
  end
  return { 'NOT', mismatch }
end
if rests > 1 then
  local units = redis.call('HLEN', UNITS .. partition)
  if units + rests - 1 > MAX_UNITS then
    return { 'FULL', int(units) }
  end
end
local at = 9 + 4 * rests
local gaps = tonumber(ARGV[at])
if gaps > 0 then
  redis.call('LLEN', GAPS)
end
if rests > 0 or part.leased then
  redis.call('ZCARD', READY)
end
if part.leased then
  redis.call('ZCARD', WAIT .. partition)
end

-- A key of a wrong type stops it here too: the first ZREM removes nothing then.
local member = member_of(partition, start)
if redis.call('ZREM', LEASED, member) == 0 then
  redis.call('ZREM', READY, member)
end
if part.leased then
  part.leased = part.leased - 1
end
redis.call('HDEL', UNITS .. partition, start)
if rests > 0 then
  local units, places = {}, {}
  for from = 9, 5 + 4 * rests, 4 do
    local begins, ends = ARGV[from], ARGV[from + 1]
    local visible = int(now + ARGV[from + 2])
    units[#units + 1] = begins
    units[#units + 1] = fresh_line(begins, ends, ARGV[from + 3], part.leased and visible or '0')
    places[#places + 1] = part.leased and begins or visible
    places[#places + 1] = part.leased and begins or member_of(partition, begins)
  end
  redis.call('HSET', UNITS .. partition, unpack(units))
  redis.call('ZADD', part.leased and WAIT .. partition or READY, unpack(places))
  -- More of the lane would go out above the rests.
  part.holder = ''
  wake()
end
if part.leased and place_lane(partition, part) then
  wake()
end

each_settled(function(from, to)
  settle(from, to)
  return true
end)
if part.leased or watermark ~= tonumber(part.watermark) then
  part.watermark = int(watermark)
  write_part(partition, part)
end

if gaps > 0 then
  local lines = {}
  local lost = tonumber(redis.call('HGET', META, 'lost') or 0)
  for from = at + 1, at + 3 * gaps, 3 do
    lines[#lines + 1] = table.concat(
      { partition, part.generation, ARGV[from], ARGV[from + 1], ARGV[from + 2] }, ' ')
    lost = math.min(lost + (ARGV[from + 1] - ARGV[from]), MAX_OFFSET)
  end
  redis.call('RPUSH', GAPS, unpack(lines))
  redis.call('LTRIM', GAPS, -MAX_GAPS_KEPT, -1)
  redis.call('HSET', META, 'lost', int(lost))
end
return { 'DONE', part.watermark }
