-- Say what became of reserved events, many at once. What another request has meanwhile taken over stays as it is.
--
-- KEYS  per event: id (the event's own key again where it was born here), event
-- ARGV  per event: owner, `partition:offset`, or nothing where Kafka did not confirm it: then the id is free again
-- Returns how many confirmed events the view does not know any more.

local function settle(key, text, owner, position)
  if not text then return end
  local rest = string.match(text, '^p(|.*|)' .. owner .. '@%d+$')
  if not rest then return end
  if position == '' then redis.call('DEL', key) else redis.call('SET', key, 'd' .. rest, 'KEEPTTL') end
end

local function newer(known, position)
  local partition, offset = string.match(position, '^(%d+):(%d+)$')
  local known_partition, known_offset = string.match(known, '^(%d+):(%d+)$')
  return known_partition ~= partition or tonumber(known_offset) < tonumber(offset)
end

local ids, missing = {}, 0
for event = 1, #KEYS / 2 do ids[event] = KEYS[2 * event - 1] end
local texts = redis.call('MGET', unpack(ids)) -- nothing for a born event, whose key holds a hash
for event = 1, #KEYS / 2 do
  local id, summary, owner, position = KEYS[2 * event - 1], KEYS[2 * event], ARGV[2 * event - 1], ARGV[2 * event]
  settle(id, texts[event], owner, position)
  if position ~= '' then
    local known = redis.call('HMGET', summary, 'd', 'p')
    if not known[1] then missing = missing + 1
    elseif not known[2] or newer(known[2], position) then redis.call('HSET', summary, 'p', position) end
  end
end
return missing
