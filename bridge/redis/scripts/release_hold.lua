-- Let go of a tentative decision of which nothing was recorded, if it is still ours; its number stays given.
-- KEYS  hold      ARGV  nonce
if redis.call('HGET', KEYS[1], 'nonce') == ARGV[1] then redis.call('HDEL', KEYS[1], 'nonce', 'until') end
