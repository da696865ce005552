-- after: sliding_log
-- Decide on requests of one tenant, in their order: rate windows, duplicates, and the reservation of their events in the view.
-- Each is let in or refused by itself, all or nothing: a refused request leaves nothing behind.
--
-- KEYS  epoch, per rate window its log, then per event: id (the event's own key again where it was born here), event,
--       correlation set, and one execution per expected process
-- ARGV  server run id, s to keep, duplicate window ms, pending ms, windows, (quota, seconds)..., requests, then per request:
--       events, then per event: event key, what its id will be known for as `|<event key>|<accepted ms>|<correlation id>|<owner>`
--       (nothing where it was born here), summary, expected processes, (member, pointer)...
-- Returns {epoch stands, per request one of
--         {1, per event what is known of it or nil, (remaining, reset ms)...}
--         {2, indexes of events whose id stands for another event}
--         {3, ms until it would fit, (remaining, reset ms)...}}

local keep, window_ms, pending_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local windows = tonumber(ARGV[5])

-- The ids that were asked for, as they stand before this call, and the epoch.
local function read()
  local names, key, argument = {KEYS[1]}, 2 + windows, 7 + 2 * windows
  for _ = 1, tonumber(ARGV[6 + 2 * windows]) do
    local events = tonumber(ARGV[argument])
    argument = argument + 1
    for _ = 1, events do
      if ARGV[argument + 1] ~= '' then names[#names + 1] = KEYS[key] end
      local processes = tonumber(ARGV[argument + 3])
      key, argument = key + 3 + processes, argument + 4 + 2 * processes
    end
  end
  local texts, found = redis.call('MGET', unpack(names)), {}
  for index = 2, #names do found[names[index]] = texts[index] end
  return texts[1], found
end

local epoch, texts = read()

-- What the id is known for: nothing (free to take), the same event, or another one.
local function known(key, event_key)
  local text = texts[key]
  if not text then return false end
  local state, of, ms, since = string.match(text, '^(%a)|([^|]*)|(%d+)|.*|[^|]-@?(%d*)$')
  local lasts = false
  if state == 'd' then lasts = now - ms < window_ms elseif state == 'p' then lasts = now - since < pending_ms end
  if not lasts then return false end
  return of == event_key and text or 'other'
end

local function reserve(key, argument)
  local note, stamp = ARGV[argument + 1], whole(now)
  if note ~= '' then
    local text = 'p' .. note .. '@' .. stamp
    redis.call('SET', KEYS[key], text, 'EX', keep)
    texts[KEYS[key]] = text
  end
  redis.call('HSET', KEYS[key + 1], 'd', ARGV[argument + 2], 'r', stamp)
  redis.call('EXPIRE', KEYS[key + 1], keep)
  local members = {'e:' .. ARGV[argument]} -- `event_member` in keys.py
  for process = 1, tonumber(ARGV[argument + 3]) do
    members[process + 1] = ARGV[argument + 2 + 2 * process]
    redis.call('SET', KEYS[key + 2 + process], ARGV[argument + 3 + 2 * process], 'NX', 'EX', keep)
  end
  redis.call('SADD', KEYS[key + 2], unpack(members))
  redis.call('EXPIRE', KEYS[key + 2], keep)
end

-- Decide on one request, whose events begin at `key` and `argument`; gives the reply, and where the next request begins.
local function decide(events, key, argument)
  local found, clashes, starts, wait = {}, {}, {}, 0
  for _, window in ipairs(opened) do wait = math.max(wait, waits(window, events)) end
  for event = 1, events do
    starts[event] = {key, argument}
    found[event] = ARGV[argument + 1] ~= '' and known(KEYS[key], ARGV[argument])
    if found[event] == 'other' then clashes[#clashes + 1] = event - 1 end
    local processes = tonumber(ARGV[argument + 3])
    key, argument = key + 3 + processes, argument + 4 + 2 * processes
  end
  if wait > 0 then return tell({3, wait}), key, argument end
  if #clashes > 0 then return {2, clashes}, key, argument end
  for event = 1, events do
    if not found[event] then reserve(starts[event][1], starts[event][2]) end
  end
  count(events)
  return tell({1, found}), key, argument
end

local last = last_entry(2, windows)
open_windows(2, 6, windows)
local replies = {epoch and string.sub(epoch, 1, #ARGV[1] + 1) == ARGV[1] .. ':' and 1 or 0}
local key, argument = 2 + windows, 7 + 2 * windows
for request = 1, tonumber(ARGV[6 + 2 * windows]) do
  replies[request + 1], key, argument = decide(tonumber(ARGV[argument]), key, argument + 1)
end
write(last)
return replies
