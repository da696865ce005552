-- Give one page of a tenant's messages, the oldest first.
--
-- KEYS  the messages
-- ARGV  from (ms), below (ms), messages of a page, the last one of the page before or nothing
-- Returns {1 where more follow or 0, member...}; where the last one has been forgotten since, the page begins at `from`.

local rank = ARGV[4] ~= '' and redis.call('ZRANK', KEYS[1], ARGV[4])
local first = rank and rank + 1 or redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[1])
local last = math.min(first + ARGV[3], redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2])) - 1
if last < first then return {0} end
local found = redis.call('ZRANGE', KEYS[1], first, last)
table.insert(found, 1, redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2]) > last + 1 and 1 or 0)
return found
