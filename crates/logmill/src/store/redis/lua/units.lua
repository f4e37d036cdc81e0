#!lua flags=no-writes
-- A partition's units, a page at a time. Reads only.
-- ARGV[2…3]  partition, where the page begins, 0 at first
-- Answers OK next, then for each unit: start, its line, R (ready) or L (leased), the time of that
local partition = ARGV[2]
local page = redis.call('HSCAN', UNITS .. partition, ARGV[3], 'COUNT', PAGE)
local reply, in_lane = { 'OK', page[1] }, is_lane(partition)
for index = 1, #page[2], 2 do
  local start = page[2][index]
  local member = member_of(partition, start)
  local state, time = 'L', redis.call('ZSCORE', LEASED, member)
  if not time and in_lane then
    state, time = 'R', redis.call('ZSCORE', WAIT .. partition, start) and unit_of(partition, start).visible
  elseif not time then
    state, time = 'R', redis.call('ZSCORE', READY, member)
  end
  -- A unit in neither is left by keys that were lost; it cannot be taken, nor shown.
  if time then
    local size = #reply
    reply[size + 1], reply[size + 2] = start, page[2][index + 1]
    reply[size + 3], reply[size + 4] = state, time
  end
end
return reply
