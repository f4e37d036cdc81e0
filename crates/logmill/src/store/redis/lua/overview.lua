#!lua flags=no-writes
-- The group at a glance. Reads only.
-- Answers OK now partitions ready delayed leased next-visible next-deadline lost, then how many
-- nodes and name seen organises info of each, then the line of each gap, oldest first
local ready = redis.call('ZCOUNT', READY, '-inf', int(now))
local waiting = redis.call('ZCARD', READY)
local reply = {
  'OK', int(now), int(redis.call('HLEN', PARTS)), int(ready), int(waiting - ready),
  int(redis.call('ZCARD', LEASED)),
  redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2] or '',
  redis.call('ZRANGE', LEASED, 0, 0, 'WITHSCORES')[2] or '',
  redis.call('HGET', META, 'lost') or '0',
}
local seen = redis.call('ZRANGE', SEEN, 0, PAGE - 1, 'REV', 'WITHSCORES')
reply[#reply + 1] = int(#seen / 2)
for index = 1, #seen, 2 do
  local name = seen[index]
  reply[#reply + 1] = name
  reply[#reply + 1] = seen[index + 1]
  reply[#reply + 1] = int(redis.call('SISMEMBER', ORGANISERS, name))
  reply[#reply + 1] = redis.call('HGET', NODES, name) or ''
end
for _, line in ipairs(redis.call('LRANGE', GAPS, 0, -1)) do
  reply[#reply + 1] = line
end
return reply
