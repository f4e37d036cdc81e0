-- The places of lanes in READY.

-- Gives a lane its place if it is free and has units. Returns whether it did.
local function place_lane(partition, part)
  if part.leased > 0 then
    return
  end
  part.holder = ''
  local lowest = redis.call('ZRANGE', WAIT .. partition, 0, 0)[1]
  local unit = lowest and unit_of(partition, lowest)
  if unit then
    redis.call('ZADD', READY, int(math.max(now, unit.visible)), member_of(partition, 0))
    return true
  end
end
