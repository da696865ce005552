-- Write claims as they are now, with the lists that lead to them; a newer version stays as it is.
--
-- KEYS  what must still hold (the epoch, or the right to rebuild), then per claim: event, hold, the events with this
--       transaction key that are created, processing, finished and failed, the seconds in which leases end, and the leases that
--       end in this one's second
-- ARGV  what it must be, then per claim: nonce of the hold (empty: none is asked for), transaction key, claim, the event's
--       16 bytes, when the event was created (ms), the second in which its lease ends (0: it is not held), when all is
--       forgotten (s)
-- Returns 1, or 0 where the first key is another, or a hold is not ours any more: nothing is written then.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local EACH_KEYS, EACH_ARGS, SLACK = 8, 7, 60
local VERSION = 6 -- bytes at the beginning of a claim; the next one is its state

for claim = 0, (#KEYS - 1) / EACH_KEYS - 1 do
  local nonce = ARGV[2 + claim * EACH_ARGS]
  if nonce ~= '' and redis.call('HGET', KEYS[3 + claim * EACH_KEYS], 'nonce') ~= nonce then return 0 end
end

-- Where a transaction key's claim is in an event's: its first byte, its last one, and the first of its whole entry.
local function find(claims, tx)
  local at = 1
  while at <= #claims do
    local name, size = struct.unpack('>I2I2', claims, at)
    local from = at + 4 + name
    if string.sub(claims, at + 4, from - 1) == tx then return from, from + size - 1, at end
    at = from + size
  end
end

local function extend(key, at)
  if redis.call('EXPIRETIME', key) < at - SLACK then redis.call('EXPIREAT', key, at) end
end

local time = redis.call('TIME')
local now = time[1] * 1000 -- to the second, as `at` is

local function state_of(packed) return string.byte(packed, VERSION + 1) end

for claim = 0, (#KEYS - 1) / EACH_KEYS - 1 do
  local k, a = 1 + claim * EACH_KEYS, 1 + claim * EACH_ARGS
  local event, hold, tx, packed, member, score = KEYS[k + 1], KEYS[k + 2], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]
  local due, at = ARGV[a + 6], tonumber(ARGV[a + 7])
  local claims, before = redis.call('HGET', event, 'c') or ''
  local from, to, first = find(claims, tx)
  if from then before = string.sub(claims, from, to) end
  if not before or string.sub(before, 1, VERSION) < string.sub(packed, 1, VERSION) then
    local old, new = before and state_of(before) or 0, state_of(packed)
    local entry = struct.pack('>I2I2', #tx, #packed) .. tx .. packed
    if from then claims = string.sub(claims, 1, first - 1) .. string.sub(claims, to + 1) end
    redis.call('HSET', event, 'c', claims .. entry)
    extend(event, at)
    if old ~= new then
      if old > 0 then redis.call('ZREM', KEYS[k + 2 + old], member) end
      if new > 0 then
        redis.call('ZADD', KEYS[k + 2 + new], score, member)
        redis.call('ZREMRANGEBYSCORE', KEYS[k + 2 + new], '-inf', string.format('(%.0f', now - (at * 1000 - score)))
        extend(KEYS[k + 2 + new], at)
      end
    end
    if due ~= '0' then
      redis.call('RPUSH', KEYS[k + 8], member .. tx)
      extend(KEYS[k + 8], at)
      redis.call('ZADD', KEYS[k + 7], due, due)
    end
  end
  if ARGV[a + 1] ~= '' then redis.call('DEL', hold) end
end
return 1
