-- Declare the view lost, and spoil a rebuild that is under way: it may have read past what is missing.
-- KEYS  epoch, holes      ARGV  only where this is still the epoch (optional)
if ARGV[1] and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return redis.call('INCR', KEYS[2])
