-- Confirm a tentative decision whose record is in Kafka, if the view is still the one it was made in and nobody took over.
-- KEYS  epoch, object      ARGV  epoch as it was, nonce, version      Returns 1 where it is confirmed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'nonce') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], 'confirmed', ARGV[3])
redis.call('HDEL', KEYS[2], 'nonce', 'until')
return 1
