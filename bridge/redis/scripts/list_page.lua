-- Give one page of the events of a name, in the order of their creation, and how many there are.
--
-- KEYS  events of the name; with state `none`: those of them that one transaction key has claimed, a set for each state;
--       else the one set that is asked for comes first and alone
-- ARGV  since (ms), events to skip, events of a page
-- Returns {total, member...}; a member is an event's 16 bytes.
--
-- What is not claimed is everything but what is. No list of it is kept: counting both sides up to a moment tells how many lie
-- before it, so the moment behind which a page begins is found by halving, and only the page itself is compared one by one.

local since, skip, size = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local all = KEYS[1]

local function count(key, from, below) return redis.call('ZCOUNT', key, from, below) end

if #KEYS == 1 then
  local first = count(all, '-inf', '(' .. ARGV[1])
  local total = redis.call('ZCARD', all) - first
  local found = redis.call('ZRANGE', all, first + skip, first + skip + size - 1)
  table.insert(found, 1, total)
  return found
end

local function whole(n) return string.format('%.0f', n) end

-- How many unclaimed events lie in [since, below).
local function free(below)
  local n = count(all, ARGV[1], below)
  for set = 2, #KEYS do n = n - count(KEYS[set], ARGV[1], below) end
  return n
end

local total = free('+inf')
local reply = {total}
local want = math.min(size, total - skip)
if want <= 0 then return reply end

local newest = tonumber(redis.call('ZRANGE', all, -1, -1, 'WITHSCORES')[2])

-- The last moment with no more than `passed` unclaimed events before it: the next one was created then.
local function seek(passed)
  local low, high = since, newest + 1
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if free('(' .. whole(middle)) <= passed then low = middle else high = middle end
  end
  return low
end

local CHUNK = 64
local found, moment, rank, drop = 0, nil, 0, 0
local blank = true -- nothing unclaimed in what was read last: a long stretch of claimed ones is passed by another search
while found < want do
  local next = blank and seek(skip + found)
  if next and next ~= moment then
    moment, rank = next, count(all, '-inf', '(' .. whole(next))
    drop = skip + found - free('(' .. whole(next))
  end
  local some = redis.call('ZRANGE', all, rank, rank + CHUNK - 1)
  if #some == 0 then return reply end
  local claimed = {}
  for set = 2, #KEYS do
    local scores = redis.call('ZMSCORE', KEYS[set], unpack(some))
    for i = 1, #some do claimed[i] = claimed[i] or scores[i] end
  end
  blank = true
  for i = 1, #some do
    if not claimed[i] and found < want then
      blank = false
      if drop > 0 then drop = drop - 1 else
        found = found + 1
        reply[#reply + 1] = some[i]
      end
    end
  end
  rank = rank + CHUNK
end
return reply
