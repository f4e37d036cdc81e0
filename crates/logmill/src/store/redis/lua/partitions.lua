#!lua flags=no-writes
-- The partitions, a page at a time. Reads only.
-- ARGV[2]  where the page begins, 0 at first
-- Answers OK next, then each partition; next is 0 after the last page
local page = redis.call('HSCAN', PARTS, ARGV[2], 'COUNT', PAGE)
local reply = { 'OK', page[1] }
for index = 1, #page[2], 2 do
  reply[#reply + 1] = page[2][index]
end
return reply
