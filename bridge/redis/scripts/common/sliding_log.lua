-- Rate windows as exact sliding logs: a list for each, with a millisecond per event, the oldest first. Several windows may share a
-- log. Put in front of the scripts that count (`bridge.redis.scripts`); the clock is this server's, for every web process.

local BACKWARDS = 1000 -- ms by which the clock may step back before the logs are not believed any more
local FEW = 32         -- expired entries that are looked for one by one
local SPARE = 1000     -- ms that a log is kept for longer than its window, so that its expiry need not be moved on every call

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end

local function moment(log, index)
  local text = redis.call('LINDEX', log, index)
  return text and tonumber(text)
end

-- When the logs, which are `windows` keys from `first` on, were last written, and never later than now: a clock that stepped
-- back stands still, or has the logs dropped.
local function last_entry(first, windows)
  local last = 0
  for key = first, first + windows - 1 do last = math.max(last, moment(KEYS[key], -1) or 0) end
  if last > now + BACKWARDS then
    for key = first, first + windows - 1 do redis.call('DEL', KEYS[key]) end
    return 0
  end
  now = math.max(now, last)
  return last
end

-- How many entries of a log are no later than `cutoff`.
local function passed(log, cutoff)
  local low, high = 0, redis.call('LLEN', log)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if moment(log, middle) > cutoff then high = middle else low = middle + 1 end
  end
  return low
end

-- Forget what a window has left behind; gives its oldest entry.
local function forget(log, cutoff)
  local oldest = moment(log, 0)
  if not oldest or oldest > cutoff then return oldest end
  local first = redis.call('LRANGE', log, 1, FEW)
  for index = 1, #first do
    if tonumber(first[index]) > cutoff then
      redis.call('LPOP', log, index)
      return tonumber(first[index])
    end
  end
  redis.call('LTRIM', log, passed(log, cutoff), -1)
  return moment(log, 0)
end

local opened = {}

-- Open rate windows: what each log holds, and what this call adds to it. `argument` is where their quotas and seconds begin.
local function open_windows(first, argument, windows)
  for w = 1, windows do
    local log, length = KEYS[first + w - 1], ARGV[argument + 2 * w - 1] * 1000
    local oldest = forget(log, now - length)
    local stored = oldest and redis.call('LLEN', log) or 0
    local quota = tonumber(ARGV[argument + 2 * w - 2])
    opened[w] = {log = log, quota = quota, length = length, oldest = oldest, stored = stored, held = stored}
  end
end

-- How long `events` more entries must wait for a window: 0 where they fit.
local function waits(window, events)
  local over = window.held + events - window.quota
  if over <= 0 then return 0 end
  if over > window.held then return window.length end
  return (over <= window.stored and moment(window.log, over - 1) or now) + window.length - now
end

-- Append each window's state to a reply.
local function tell(reply)
  for _, window in ipairs(opened) do
    reply[#reply + 1] = window.quota - window.held
    reply[#reply + 1] = (window.oldest or now) + window.length - now
  end
  return reply
end

local function count(events)
  for _, window in ipairs(opened) do
    window.held = window.held + events
    window.oldest = window.oldest or now
  end
end

-- Write what was let in into every log, once.
local function write(last)
  local another_second, written, stamps = math.floor(now / SPARE) > math.floor(last / SPARE), {}, {}
  for _, window in ipairs(opened) do
    local added = window.held - window.stored
    for index = #stamps + 1, added do stamps[index] = whole(now) end
    if added > 0 and not written[window.log] then
      redis.call('RPUSH', window.log, unpack(stamps))
      if window.stored == 0 or another_second then redis.call('PEXPIRE', window.log, window.length + SPARE) end
      written[window.log] = true
    end
  end
end
