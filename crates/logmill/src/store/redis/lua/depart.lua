#!lua flags=allow-oom
-- Removes a node that ends in good order.
-- ARGV[2]  node
-- Answers OK
redis.call('ZCARD', SEEN)
redis.call('HLEN', NODES)
redis.call('SCARD', ORGANISERS)
tick()
redis.call('ZREM', SEEN, ARGV[2])
redis.call('HDEL', NODES, ARGV[2])
redis.call('SREM', ORGANISERS, ARGV[2])
return { 'OK' }
