-- Write which version of each object decisions go on from, if the right to rebuild is still ours; older remains go.
-- KEYS  lock, objects...      ARGV  token, a version per object      Returns 1 where it is ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  redis.call('DEL', KEYS[i])
  redis.call('HSET', KEYS[i], 'counter', ARGV[i], 'confirmed', ARGV[i])
end
return 1
