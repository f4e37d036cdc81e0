-- Removes all of a partition but its gaps; for rebuild and forget. Returns whether there was any.
local function remove_part(partition)
  redis.call('ZCARD', READY)
  redis.call('ZCARD', LEASED)
  redis.call('ZCARD', DONE .. partition)
  redis.call('ZCARD', WAIT .. partition)
  local members = redis.call('HKEYS', UNITS .. partition)
  for index, start in ipairs(members) do
    members[index] = member_of(partition, start)
  end
  if is_lane(partition) then
    members[#members + 1] = member_of(partition, 0)
  end
  call_many('ZREM', READY, members, 1000)
  call_many('ZREM', LEASED, members, 1000)
  redis.call('DEL', UNITS .. partition, WAIT .. partition, DONE .. partition)
  return redis.call('HDEL', PARTS, partition)
end
