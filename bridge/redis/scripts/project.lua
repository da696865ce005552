-- Write facts into the live view: a newer fact replaces an older one, in whatever order they come, so that the worker, the
-- intake and a rebuild may all write at the same time, and any call may be repeated.
--
-- KEYS  epoch, passed
-- ARGV  operations one after another, each a letter and its fields; times `at` are when the key may be forgotten (s):
--   R key offset at value cid member               an execution's record at this offset
--   S key attempt at mark value cid member         an attempt has begun and has no record yet; the mark says what it began from
--   X key at pointer cid member                    an execution is expected
--   E key partition offset ms at summary cid member idkey event_key correlation_id
--                                                  an event's record; no idkey where the event was born here
--   B key field list member ms oldest at row      a confirmed event is in a list, which shows its row; older ones than `oldest`
--                                                  (ms) leave the list
--   K key version value                            what processes keep of a key
--   W key ms execution most at                      an execution has posted to a webhook, or tried to; the last ones are kept
--   P partition next                               the router has finished all offsets before `next`
-- Returns the epoch.

local FORGET = 3600 -- s for which the version of a key is known of which nothing is kept: an older one may still come
local SLACK = 60 -- s by which a set may be forgotten too early: saves most EXPIREAT calls

local function extend(key, at)
  if redis.call('EXPIRETIME', key) < at - SLACK then redis.call('EXPIREAT', key, at) end
end

local function join(cid, member, at)
  redis.call('SADD', cid, member)
  extend(cid, at)
end

-- The offset that an execution's value stands for, and '+' if it is an attempt in progress; nil where there is none.
local function standing(key)
  local offset, running = string.match(redis.call('GETRANGE', key, 0, 24), '^(%-?%d+)(%+?)e?|')
  return offset, running
end

-- Our JSON holds this text once outside strings, and inside strings a quote is always escaped.
local function attempt_in(value)
  return tonumber(string.match(value, '"attempt":(%d+)'))
end

local function record(key, offset, at, value)
  local known, running = standing(key)
  if known and tonumber(known) >= tonumber(offset) then return end
  if running == '+' then
    local body = string.match(redis.call('GET', key), '|(.*)$')
    if attempt_in(body) > attempt_in(value) then
      redis.call('SET', key, offset .. '+|' .. body, 'EXAT', at)
      return
    end
  end
  redis.call('SET', key, offset .. '|' .. value, 'EXAT', at)
end

local function begin(key, attempt, at, mark, value)
  local known, running = standing(key)
  if known and (known ~= '-1' or running == '+') and attempt_in(redis.call('GET', key)) >= tonumber(attempt) then return end
  redis.call('SET', key, (known or '-1') .. mark .. '|' .. value, 'EXAT', at)
end

local function newer(position, partition, offset)
  local known_partition, known_offset = string.match(position, '^(%d+):(%d+)$')
  return known_partition ~= partition or tonumber(known_offset) < tonumber(offset)
end

local function event(key, partition, offset, ms, at, summary)
  local position = redis.call('HGET', key, 'p')
  if not position or newer(position, partition, offset) then
    redis.call('HSET', key, 'd', summary, 'p', partition .. ':' .. offset, 'r', ms)
  end
  extend(key, at)
end

-- A confirmed event takes its (source, id) from an earlier one, and from its own reservation; never from a later one.
local function known_id(key, event_key, ms, correlation_id, at)
  local current = redis.call('GET', key)
  if current then
    local state, owner, since = string.match(current, '^(%a)|([^|]*)|(%d+)|')
    if owner == event_key then
      if state == 'd' and tonumber(since) >= tonumber(ms) then return end
    elseif tonumber(since) > tonumber(ms) then
      return
    end
  end
  redis.call('SET', key, 'd|' .. event_key .. '|' .. ms .. '|' .. correlation_id .. '|', 'EXAT', at)
end

local function pass(partition, next)
  local known = redis.call('HGET', KEYS[2], partition)
  if not known or tonumber(known) < tonumber(next) then redis.call('HSET', KEYS[2], partition, next) end
end

local i, n = 1, #ARGV
while i <= n do
  local a, op = ARGV, ARGV[i]
  if op == 'R' then
    record(a[i + 1], a[i + 2], a[i + 3], a[i + 4])
    join(a[i + 5], a[i + 6], tonumber(a[i + 3]))
    i = i + 7
  elseif op == 'S' then
    begin(a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5])
    join(a[i + 6], a[i + 7], tonumber(a[i + 3]))
    i = i + 8
  elseif op == 'P' then
    pass(a[i + 1], a[i + 2])
    i = i + 3
  elseif op == 'E' then
    event(a[i + 1], a[i + 2], a[i + 3], a[i + 4], tonumber(a[i + 5]), a[i + 6])
    join(a[i + 7], a[i + 8], tonumber(a[i + 5]))
    if a[i + 9] ~= '' then known_id(a[i + 9], a[i + 10], a[i + 4], a[i + 11], a[i + 5]) end
    i = i + 12
  elseif op == 'B' then
    redis.call('HSETNX', a[i + 1], a[i + 2], a[i + 8]) -- the first time that it was stored counts: its claims know it so
    redis.call('ZADD', a[i + 3], 'LT', a[i + 5], a[i + 4])
    redis.call('ZREMRANGEBYSCORE', a[i + 3], '-inf', '(' .. a[i + 6])
    extend(a[i + 1], tonumber(a[i + 7]))
    extend(a[i + 3], tonumber(a[i + 7]))
    i = i + 9
  elseif op == 'W' then
    redis.call('ZADD', a[i + 1], 'GT', a[i + 2], a[i + 3])
    redis.call('ZREMRANGEBYRANK', a[i + 1], 0, -1 - a[i + 4])
    extend(a[i + 1], tonumber(a[i + 5]))
    i = i + 6
  elseif op == 'K' then
    local known = string.match(redis.call('GETRANGE', a[i + 1], 0, 24), '^(%d+)|')
    if not known or tonumber(known) <= tonumber(a[i + 2]) then
      redis.call('SET', a[i + 1], a[i + 2] .. '|' .. a[i + 3])
      if a[i + 3] == '' then redis.call('EXPIRE', a[i + 1], FORGET) end
    end
    i = i + 4
  elseif op == 'X' then
    redis.call('SET', a[i + 1], a[i + 3], 'NX', 'EXAT', a[i + 2])
    join(a[i + 4], a[i + 5], tonumber(a[i + 2]))
    i = i + 6
  else
    return redis.error_reply('ERR unknown operation ' .. tostring(op))
  end
end
return redis.call('GET', KEYS[1])
