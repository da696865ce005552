-- after: sliding_log
-- Count requests of one tenant, or what they weigh, against its windows.
--
-- KEYS  per window its log
-- ARGV  windows, (quota, seconds)..., how many to count, '1' where they count even if they do not fit
-- Returns {ms until as many fit again or 0 where they fitted, (remaining, reset ms)...}

local windows = tonumber(ARGV[1])
local events, always = tonumber(ARGV[2 + 2 * windows]), ARGV[3 + 2 * windows] == '1'

local function longest_wait()
  local wait = 0
  for _, window in ipairs(opened) do wait = math.max(wait, waits(window, events)) end
  return wait
end

-- Of a window that is over-full only as many entries as it lets in say when it has room again: so a flood takes no memory.
local function crop()
  for _, window in ipairs(opened) do
    if window.held > window.quota then
      redis.call('LTRIM', window.log, -window.quota, -1)
      window.held, window.oldest = window.quota, moment(window.log, 0)
    end
    window.stored = window.held
  end
end

local last = last_entry(1, windows)
open_windows(1, 2, windows)
local wait = longest_wait()
if wait == 0 or always then
  count(events)
  write(last)
end
if wait > 0 and always then
  crop()
  wait = longest_wait()
end
return tell({wait})
