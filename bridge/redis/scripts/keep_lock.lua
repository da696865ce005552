-- Hold a lock for longer, if it is still ours.
-- KEYS  lock      ARGV  token, ms (0: give it back)      Returns 1 where it is ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
