#!lua flags=allow-oom
-- Notes that a node lives, removes silent ones, and says whether it organises: if it does already, or
-- fewer than the most allowed do.
-- ARGV[2…6]  node, info, 1 if it would organise, time to live in milliseconds, most organisers
-- Answers OK organises nodes | MANY nodes
local node, limit = ARGV[2], tonumber(ARGV[6])
local silent = redis.call('ZRANGE', SEEN, '-inf', int(now - ARGV[5]), 'BYSCORE', 'LIMIT', 0, MAX_NODES_DROPPED)
for index, name in ipairs(silent) do
  if name == node then
    table.remove(silent, index)
    break
  end
end
local nodes = redis.call('ZCARD', SEEN)
local known = redis.call('HEXISTS', NODES, node) == 1
local organises = redis.call('SISMEMBER', ORGANISERS, node) == 1
tick()
if not known and nodes - #silent >= MAX_NODES then
  return { 'MANY', int(nodes) }
end

if #silent > 0 then
  redis.call('ZREM', SEEN, unpack(silent))
  redis.call('HDEL', NODES, unpack(silent))
  redis.call('SREM', ORGANISERS, unpack(silent))
end
redis.call('ZADD', SEEN, int(now), node)
redis.call('HSET', NODES, node, ARGV[3])
if ARGV[4] ~= '1' then
  redis.call('SREM', ORGANISERS, node)
  organises = false
elseif not organises and redis.call('SCARD', ORGANISERS) < limit then
  redis.call('SADD', ORGANISERS, node)
  organises = true
end
return { 'OK', organises and '1' or '0', int(redis.call('ZCARD', SEEN)) }
