-- Decide on one request: rate windows, duplicates, and the reservation of its events in the view. All or nothing: a refused
-- request leaves nothing behind. The clock is this server's, for every web process.
--
-- KEYS  epoch, rate log, then per event: id (the event's own key again where it was born here), event, correlation set,
--       and one execution per expected process
-- ARGV  server run id, owner, s to keep, duplicate window ms, pending ms, windows, (quota, seconds)..., events, then per event:
--       event key, born here (1/0), accepted ms, correlation id, summary, member, expected processes, (member, pointer)...
-- Returns {1, epoch stands, per event what is known of it or nil, (remaining, reset ms)...}
--         {2, epoch stands, indexes of events whose id stands for another event}
--         {3, epoch stands, ms until it would fit, (remaining, reset ms)...}

local BACKWARDS = 1000 -- ms by which the clock may step back before the log is not believed any more
local FEW = 8          -- expired entries that are removed one by one

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
local stands = epoch and string.sub(epoch, 1, #ARGV[1] + 1) == ARGV[1] .. ':' and 1 or 0
local log, owner, keep = KEYS[2], ARGV[2], ARGV[3]
local window_ms, pending_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local windows = tonumber(ARGV[6])
local events = tonumber(ARGV[7 + 2 * windows])

local function whole(number) return string.format('%.0f', number) end

-- How many of the log's `count` entries are no later than `cutoff`.
local function passed(count, cutoff)
  local low, high = 0, count
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', log, middle)) > cutoff then high = middle else low = middle + 1 end
  end
  return low
end

local function forget(cutoff)
  for _ = 1, FEW do
    local first = redis.call('LINDEX', log, 0)
    if not first or tonumber(first) > cutoff then return end
    redis.call('LPOP', log)
  end
  redis.call('LTRIM', log, passed(redis.call('LLEN', log), cutoff), -1)
end

-- Bring the log into order: never later than now, and nothing that the longest window has left behind.
local function settle(longest)
  local last = tonumber(redis.call('LINDEX', log, -1) or 0)
  if last > now + BACKWARDS then redis.call('DEL', log) elseif last > now then now = last end
  forget(now - longest)
  return redis.call('LLEN', log)
end

local function leaves(index, length) return tonumber(redis.call('LINDEX', log, index)) + length - now end

-- What every window says to `events` more entries: how long they must wait (0: they fit), and each window's state.
local function measure(count, longest)
  local wait, states = 0, {}
  for w = 1, windows do
    local quota, length = tonumber(ARGV[5 + 2 * w]), tonumber(ARGV[6 + 2 * w]) * 1000
    local first = length == longest and 0 or passed(count, now - length)
    local held = count - first
    local over = held + events - quota
    if over > held then wait = math.max(wait, length)
    elseif over > 0 then wait = math.max(wait, leaves(first + over - 1, length)) end
    states[w] = {quota - held, held > 0 and leaves(first, length) or length}
  end
  return wait, states
end

-- What the id is known for: nothing (free to take), the same event, or another one.
local function known(key, event_key)
  local text = redis.call('GET', key)
  if not text then return nil end
  local state, of, ms, since = string.match(text, '^(%a)|([^|]*)|(%d+)|.*|[^|]-@?(%d*)$')
  local lasts = false
  if state == 'd' then lasts = now - ms < window_ms elseif state == 'p' then lasts = now - since < pending_ms end
  if not lasts then return nil end
  return of == event_key and text or 'other'
end

local function reserve(key, argument)
  local event_key, born, ms, cid = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2], ARGV[argument + 3]
  if born == '0' then
    redis.call('SET', KEYS[key], 'p|' .. event_key .. '|' .. ms .. '|' .. cid .. '|' .. owner .. '@' .. whole(now), 'EX', keep)
  end
  redis.call('HSET', KEYS[key + 1], 'd', ARGV[argument + 4], 'r', whole(now))
  redis.call('EXPIRE', KEYS[key + 1], keep)
  local members = {ARGV[argument + 5]}
  for process = 1, tonumber(ARGV[argument + 6]) do
    members[process + 1] = ARGV[argument + 5 + 2 * process]
    redis.call('SET', KEYS[key + 2 + process], ARGV[argument + 6 + 2 * process], 'NX', 'EX', keep)
  end
  redis.call('SADD', KEYS[key + 2], unpack(members))
  redis.call('EXPIRE', KEYS[key + 2], keep)
end

local function each(act)
  local key, argument = 3, 8 + 2 * windows
  for event = 1, events do
    act(event, key, argument)
    local processes = tonumber(ARGV[argument + 6])
    key, argument = key + 3 + processes, argument + 7 + 2 * processes
  end
end

local function flat(reply, states, taken)
  for _, state in ipairs(states) do
    reply[#reply + 1] = state[1] - taken
    reply[#reply + 1] = state[2]
  end
  return reply
end

local longest = 0
for w = 1, windows do longest = math.max(longest, ARGV[6 + 2 * w] * 1000) end
local wait, states = measure(settle(longest), longest)
if wait > 0 then return flat({3, stands, wait}, states, 0) end

local found, clashes = {}, {}
each(function(event, key, argument)
  found[event] = ARGV[argument + 1] == '0' and known(KEYS[key], ARGV[argument]) or false
  if found[event] == 'other' then clashes[#clashes + 1] = event - 1 end
end)
if #clashes > 0 then return {2, stands, clashes} end

local stamps = {}
for event = 1, events do stamps[event] = whole(now) end
if windows > 0 then
  redis.call('RPUSH', log, unpack(stamps))
  redis.call('PEXPIRE', log, longest)
end
each(function(event, key, argument)
  if not found[event] then reserve(key, argument) end
end)
return flat({1, stands, found}, states, events)
