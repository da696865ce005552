-- Take leases that were looked at from the list of their second; what was listed meanwhile stays, and so does the second then.
-- KEYS  seconds with leases, the leases of one      ARGV  the second, leases...
for i = 2, #ARGV do redis.call('LREM', KEYS[2], 1, ARGV[i]) end
if redis.call('LLEN', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
