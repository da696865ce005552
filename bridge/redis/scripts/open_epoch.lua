-- Declare the view whole and give the lock back, if nobody else rebuilds and no writer has missed anything meanwhile.
-- KEYS  epoch, holes, lock      ARGV  token, the holes counted at the beginning, the new epoch      Returns 1 where it is open.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[3])
return 1
