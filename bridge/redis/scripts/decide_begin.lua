-- Make a decision about one object tentative, and number it. Nobody else can decide about the object while it is held.
--
-- KEYS  epoch, holes, object
-- ARGV  server run id, nonce, expected version, seen version, ms to hold, versions per epoch
-- Returns {'tentative', version, epoch}
--         {'stale', confirmed}    the confirmed version is not the expected one
--         {'held', ms}            another decision is tentative, for at most this long
--         {'lost'}                the view does not stand, or has lost this object

local epoch = redis.call('GET', KEYS[1])
local prefix = ARGV[1] .. ':'
if not epoch or string.sub(epoch, 1, #prefix) ~= prefix then return {'lost'} end
local number = tonumber(string.sub(epoch, #prefix + 1))

local function whole(n) return string.format('%.0f', n) end

local known = redis.call('HMGET', KEYS[3], 'counter', 'confirmed', 'nonce', 'until')
local counter, confirmed = tonumber(known[1] or 0), tonumber(known[2] or 0)
local seen = tonumber(ARGV[4])
if seen > counter then
  -- Kafka holds a version that was never given here: this object was evicted or deleted, so no number of ours is safe.
  redis.call('DEL', KEYS[1])
  redis.call('INCR', KEYS[2])
  return {'lost'}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if known[3] and tonumber(known[4]) > now then return {'held', tonumber(known[4]) - now} end
if seen > confirmed then
  -- A record that landed while its confirmation got lost is a fact: whoever decided it can no longer confirm it.
  confirmed = seen
  redis.call('HSET', KEYS[3], 'confirmed', whole(seen))
  redis.call('HDEL', KEYS[3], 'nonce', 'until')
end
if tonumber(ARGV[3]) ~= confirmed then return {'stale', confirmed} end

local span = tonumber(ARGV[6])
local version = math.max(counter, number * span) + 1
if version >= (number + 1) * span then return redis.error_reply('ERR no version is left in this epoch; run evb rebuild') end
redis.call('HSET', KEYS[3], 'counter', whole(version), 'nonce', ARGV[2], 'until', whole(now + ARGV[5]))
return {'tentative', version, number}
