#!lua flags=allow-oom
-- Puts a unit back in the queue, whoever holds it: visible at once, its try not counted, and as if nobody had taken
-- it. Of a lane all that was given in this turn goes back with it.
-- ARGV[2…7]  partition, generation, boot, start, end, nonce: as it was seen
-- ARGV[8]    where it is cut in two; empty if nowhere
-- ARGV[9]    1 if it comes before all that waits
-- Answers DONE leases | NOT range|nonce | FULL units | NOSTATE | STALE generation boot
local partition, start, finish = ARGV[2], ARGV[5], ARGV[6]
local part, refusal = part_in(partition, ARGV[3], ARGV[4])
tick()
if not part then
  return refusal
end
local unit = unit_of(partition, start)
if not unit or unit.finish ~= finish then
  return { 'NOT', 'range' }
end
if unit.nonce ~= ARGV[7] then
  return { 'NOT', 'nonce' }
end
local cut = ARGV[8] ~= '' and ARGV[8]
local count = redis.call('HLEN', UNITS .. partition)
if cut and count + 1 > MAX_UNITS then
  return { 'FULL', int(count) }
end

local wait = WAIT .. partition
local first = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2]
local front = first and math.min(now, math.max(0, first - 1)) or now
local place = part.leased and redis.call('ZSCORE', READY, member_of(partition, 0))
if part.leased then
  redis.call('ZCARD', wait)
end

local function is_leased(from)
  return redis.call('ZSCORE', LEASED, member_of(partition, from))
end

-- Whether a lane's unit was given in this turn.
local function was_given(from, of)
  return is_leased(from) or (of.nonce ~= '0' and tonumber(of.taken) >= part.since)
end

-- What goes back, by its start.
local given = {}
if not part.leased then
  given[start] = unit
elseif was_given(start, unit) then
  for _, from in ipairs(redis.call('HKEYS', UNITS .. partition)) do
    local of = unit_of(partition, from)
    if was_given(from, of) then
      given[from] = of
    end
  end
end
local visible = part.leased and unit.visible or redis.call('ZSCORE', READY, member_of(partition, start))

-- Writes a unit that waits; in a lane the time from which it is visible stands beside it.
local function put(from, to, position, of, visible)
  redis.call('HSET', UNITS .. partition, from,
    unit_line(to, int(position), of.attempt, of.nonce, of.taken, part.leased and visible or '0', of.node))
  if part.leased then
    redis.call('ZADD', wait, from, from)
  else
    redis.call('ZADD', READY, visible, member_of(partition, from))
  end
end

local released = 0
for from, of in pairs(given) do
  local held, seen = is_leased(from), of.visible
  if held then
    redis.call('ZREM', LEASED, member_of(partition, from))
    of.attempt, seen, released = int(math.max(0, of.attempt - 1)), int(now), released + 1
  end
  of.nonce, of.taken, of.node = '0', '0', ''
  if from == start then
    unit, visible = of, held and seen or visible
  else
    put(from, of.finish, of.position, of, seen)
  end
end
if part.leased and next(given) then
  part.leased, part.back, part.holder = 0, 0, ''
end
visible = int(visible or now)
if ARGV[9] == '1' then
  visible = int(math.min(visible, front))
end
put(start, cut or finish, math.min(unit.position, cut or finish), unit, visible)
if cut then
  put(cut, finish, math.max(unit.position, cut), unit, visible)
end
if part.leased then
  if not place or tonumber(place) > now then
    place_lane(partition, part)
  end
  write_part(partition, part)
end
wake()
return { 'DONE', int(released) }
