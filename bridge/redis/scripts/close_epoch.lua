-- Declare the view lost, and spoil a rebuild that is under way: it may have read past what is missing.
-- KEYS  epoch, holes
redis.call('DEL', KEYS[1])
return redis.call('INCR', KEYS[2])
