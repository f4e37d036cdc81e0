-- The common start of every script: names, the store's time, and how values are written down.
--
-- The names of keys (META, PARTS, READY, LEASED, UNITS, WAIT, DONE, GAPS, NODES, SEEN, ORGANISERS,
-- WAKE) and the bounds (SCHEMA, MAX_…) come before this, written by script.rs and keys.rs.
-- KEYS[1]  what every key of the group begins with
-- ARGV[1]  the time in milliseconds, for tests; empty for the server's
--
-- Rules for every script: what can be refused is refused before the first write but tick()'s, and
-- each collection is read before any is written, so that a key of a wrong type stops it there. What
-- is read stays text unless it is counted with, and a number that was is written by int(): Lua's own
-- form keeps only 14 digits, and %d only 32 bits on some servers.

local function int(number)
  return string.format('%.0f', number)
end

local function corrupt(key)
  error({ err = 'CORRUPT ' .. key .. ' holds what no logmill wrote' })
end

local meta = redis.call('HMGET', META, 'schema', 'now', 'seen')
if meta[1] and meta[1] ~= SCHEMA then
  return { 'SCHEMA', meta[1] }
end

-- The store's time adds up how far the server's moves forward: it goes on after the server's was set
-- back, where the maximum of both would stand still, and no lease would end.
local server = tonumber(ARGV[1])
if not server then
  local time = redis.call('TIME')
  server = time[1] * 1000 + math.floor(time[2] / 1000)
end
server = math.min(server, MAX_TIME_MS)
local now = server
if meta[2] and meta[3] then
  local passed = math.max(0, math.min(server - meta[3], MAX_STEP_MS))
  now = math.min(meta[2] + passed, MAX_TIME_MS)
end

-- Moves the clock on. The first write of every script that writes.
local function tick()
  if now ~= tonumber(meta[2] or -1) or server ~= tonumber(meta[3] or -1) then
    redis.call('HSET', META, 'schema', SCHEMA, 'now', int(now), 'seen', int(server))
  end
end

-- No topic's name has the sign.
local function is_lane(partition)
  return partition:find('#', 1, true)
end

-- A partition's line in PARTS, or nil. Of a lane also its turn: how many units are leased, how many
-- were taken back, since when, and who may have more.
local function part_of(partition)
  local line = redis.call('HGET', PARTS, partition)
  if not line then
    return nil
  end
  local generation, boot, epoch, watermark, planned, turn =
    line:match('^(%d+) (%d+) (%-?%d+) (%d+) (%d+)(.*)$')
  if not generation then
    corrupt(PARTS)
  end
  local part =
    { generation = generation, boot = boot, epoch = epoch, watermark = watermark, planned = planned }
  if is_lane(partition) then
    local leased, back, since, holder = turn:match('^ (%d+) (%d+) (%d+) (.*)$')
    if not leased then
      corrupt(PARTS)
    end
    part.leased, part.back, part.since = tonumber(leased), tonumber(back), tonumber(since)
    part.holder = holder
  elseif turn ~= '' then
    corrupt(PARTS)
  end
  return part
end

local function write_part(partition, part)
  local line = part.generation .. ' ' .. part.boot .. ' ' .. part.epoch .. ' ' .. part.watermark
    .. ' ' .. part.planned
  if part.leased then
    line = line .. ' ' .. int(part.leased) .. ' ' .. int(part.back) .. ' ' .. int(part.since)
      .. ' ' .. part.holder
  end
  redis.call('HSET', PARTS, partition, line)
end

-- The partition in the incarnation asked for, or nil and the refusal.
local function part_in(partition, generation, boot)
  local part = part_of(partition)
  if not part then
    return nil, { 'NOSTATE' }
  end
  if part.generation ~= generation or part.boot ~= boot then
    return nil, { 'STALE', part.generation, part.boot }
  end
  return part
end

-- A unit's member in READY and LEASED. Its byte order is partition, then start: no name has a byte as
-- low as the space.
local function member_of(partition, start)
  return string.format('%s %016.0f', partition, start)
end

-- A unit's value in UNITS<partition>, under its start. Nonce 0 and no node: not taken. From when it is
-- visible stands there only in a lane, where READY does not say it.
local function unit_line(finish, position, attempt, nonce, taken, visible, node)
  return finish .. ' ' .. position .. ' ' .. attempt .. ' ' .. nonce .. ' ' .. taken .. ' ' .. visible
    .. ' ' .. node
end

local function fresh_line(start, finish, attempt, visible)
  return unit_line(finish, start, attempt, '0', '0', visible, '')
end

-- The unit that begins at start, or nil.
local function unit_of(partition, start)
  local line = redis.call('HGET', UNITS .. partition, start)
  if not line then
    return nil
  end
  local finish, position, attempt, nonce, taken, visible, node =
    line:match('^(%d+) (%d+) (%d+) (%x+) (%d+) (%d+) (.*)$')
  if not finish then
    corrupt(UNITS .. partition)
  end
  return {
    finish = finish, position = position, attempt = attempt, nonce = nonce, taken = taken,
    visible = visible, node = node,
  }
end

-- A settled range's member in DONE<partition> is start:end, its score the start.
local function done_bounds(partition, member)
  local start, finish = member:match('^(%d+):(%d+)$')
  if not start then
    corrupt(DONE .. partition)
  end
  return tonumber(start), tonumber(finish)
end

-- Calls a command with a list of arguments that may be longer than Lua's stack holds.
local function call_many(command, key, arguments, step)
  for from = 1, #arguments, step do
    redis.call(command, key, unpack(arguments, from, math.min(from + step - 1, #arguments)))
  end
end

local function wake()
  redis.call('PUBLISH', WAKE, '')
end
