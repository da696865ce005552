-- Make a change of one claim tentative, and number it. Nobody else can change the claim while it is held.
--
-- KEYS  epoch, event, hold
-- ARGV  server run id, nonce, transaction key, expected version (0: there is no claim), ms to hold, versions per epoch, s to keep
-- Returns {'tentative', version, epoch}
--         {'stale', version}   the claim is not at the expected version
--         {'held', ms}         another change is tentative, for at most this long
--         {'lost'}             the view does not stand

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

local epoch = redis.call('GET', KEYS[1])
local prefix = ARGV[1] .. ':'
if not epoch or string.sub(epoch, 1, #prefix) ~= prefix then return {'lost'} end
local number = tonumber(string.sub(epoch, #prefix + 1))

local function whole(n) return string.format('%.0f', n) end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[3], 'until', 'counter')
if held[1] and tonumber(held[1]) > now then return {'held', tonumber(held[1]) - now} end

local claims, current = redis.call('HGET', KEYS[2], 'c') or '', 0
local from = find(claims, ARGV[3])
if from then current = struct.unpack('>I6', claims, from) end
if current ~= tonumber(ARGV[4]) then return {'stale', current} end

-- What was numbered before and never confirmed may be in Kafka: its number is not given again.
local span = tonumber(ARGV[6])
local version = math.max(current, tonumber(held[2] or 0), number * span) + 1
if version >= (number + 1) * span then return redis.error_reply('ERR no version is left in this epoch; run evb rebuild') end
redis.call('HSET', KEYS[3], 'until', whole(now + ARGV[5]), 'counter', whole(version), 'nonce', ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[7])
return {'tentative', version, number}
