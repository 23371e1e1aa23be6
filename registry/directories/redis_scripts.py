"""What Redis does by itself, so that it is done as a whole: the scripts, each for one name.

Keys (all of a name in one slot of a cluster, because of the braces):

    service:NAME              the first registry's key: JSON of the primary instance, with its time to live
    saga:{service:NAME}       hash: index, primary, and for each instance
                                s:ID what it sent (JSON)       o:ID what others set of it (JSON)
                                t:ID "registered heartbeat ttl"    h:ID the end of its JSON for the first key
                                u:ID its normalised URL        a:URL the ids there, the oldest first
    saga:{service:NAME}:due   sorted set: id, and when it is gone

Times are microseconds of Redis; the last argument of each is the time after which it must not happen any more. Every
script but `GRACE` begins by removing what is due and answers
`{now, index, ids removed as due, index at first, index after that, ...}`; the index moves with every real change, and
never with a beat. Who knew the name as it was at one of those two indexes (the second is 0 if nobody was left) knows it
now.
"""

from typing import Final

_PRELUDE: Final = """
local SEED, HASH, DUE = KEYS[1], KEYS[2], KEYS[3]
local KEEP = 3600000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Who sent this has given up by then: it must not happen behind his back, as when Redis stood still meanwhile.
if now > tonumber(table.remove(ARGV)) then return redis.error_reply('LATE nobody waits for it any more') end

local function num(n) return string.format('%.0f', n) end

local function iso(micros)
  local seconds = math.floor(micros / 1000000)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month,
    doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(seconds / 3600) % 24, math.floor(seconds / 60) % 60, seconds % 60, micros % 1000000)
end

local index = tonumber(redis.call('HGET', HASH, 'index') or 0)
local function move(at)
  index = math.max(index + 1, at)
  redis.call('HSET', HASH, 'index', num(index))
end

local function entry(id)
  local e = redis.call('HMGET', HASH, 's:' .. id, 'o:' .. id, 't:' .. id)
  return {id, e[1], e[2], e[3], redis.call('ZSCORE', DUE, id)}
end

local function leave(id)
  local address = redis.call('HGET', HASH, 'u:' .. id)
  if not address then return end
  local others = {}
  for other in string.gmatch(redis.call('HGET', HASH, 'a:' .. address) or '', '%S+') do
    if other ~= id then others[#others + 1] = other end
  end
  if #others == 0 then
    redis.call('HDEL', HASH, 'a:' .. address)
  else
    redis.call('HSET', HASH, 'a:' .. address, table.concat(others, ' '))
  end
end

local function remove(id)
  leave(id)
  redis.call('HDEL', HASH, 's:' .. id, 'o:' .. id, 't:' .. id, 'u:' .. id, 'h:' .. id)
  redis.call('ZREM', DUE, id)
end

local function oldest()
  local found, first
  for _, id in ipairs(redis.call('ZRANGE', DUE, 0, -1)) do
    local registered = tonumber(string.match(redis.call('HGET', HASH, 't:' .. id), '^%d+'))
    if not first or registered < first then found, first = id, registered end
  end
  return found
end

-- Whether the first registry's key names this instance. Its JSON may have been written by such a registry.
local function names(value, id) return value and id and string.find(value, '"' .. id .. '"', 1, true) end

-- The first registry's key: the primary's, and another's if that is gone. What such a registry wrote itself stays.
local function settle(candidate)
  local current = redis.call('GET', SEED)
  local primary = redis.call('HGET', HASH, 'primary')
  if names(current, candidate) then primary = candidate end
  if current and not names(current, primary) then return end
  if not primary or redis.call('HEXISTS', HASH, 't:' .. primary) == 0 then primary = oldest() end
  if not primary then
    -- The index stays for a while, so that whoever comes back is not taken for who was there.
    redis.call('DEL', SEED)
    redis.call('HDEL', HASH, 'primary')
    redis.call('PEXPIRE', HASH, KEEP)
    return
  end
  local e = redis.call('HMGET', HASH, 't:' .. primary, 'h:' .. primary)
  local registered, heartbeat = string.match(e[1], '^(%d+) (%d+)')
  local left = math.max(1, math.ceil((redis.call('ZSCORE', DUE, primary) - now) / 1000))
  redis.call('HSET', HASH, 'primary', primary)
  redis.call('SET', SEED, '{"service_id":"' .. primary .. '","registered_at":"' .. iso(tonumber(registered))
    .. '","last_heartbeat":"' .. iso(tonumber(heartbeat)) .. '",' .. e[2], 'PX', left)
end

-- Nothing is left of a name that every registry has forgotten.
local function keep(ttl)
  local least = math.ceil(ttl / 1000) + KEEP
  if redis.call('PTTL', HASH) < least - KEEP / 2 then
    redis.call('PEXPIRE', HASH, least)
    redis.call('PEXPIRE', DUE, least)
  end
end

local function put(id, address, sent, tail, set, registered, heartbeat, ttl)
  if redis.call('HGET', HASH, 'u:' .. id) ~= address then
    leave(id)
    local there = redis.call('HGET', HASH, 'a:' .. address)
    redis.call('HSET', HASH, 'a:' .. address, there and there .. ' ' .. id or id)
  end
  redis.call('HSET', HASH, 's:' .. id, sent, 'h:' .. id, tail, 'u:' .. id, address,
    't:' .. id, registered .. ' ' .. heartbeat .. ' ' .. num(ttl))
  if set ~= '' then redis.call('HSET', HASH, 'o:' .. id, set) end
  redis.call('ZADD', DUE, num(now + ttl), id)
  keep(ttl)
end
"""

_EXPIRE: Final = """
local had = index
local gone = redis.call('ZRANGEBYSCORE', DUE, '-inf', num(now))
if #gone > 0 then
  local last = redis.call('ZREVRANGEBYSCORE', DUE, num(now), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  for _, id in ipairs(gone) do remove(id) end
  move(tonumber(last))
  settle()
end
local base = redis.call('EXISTS', DUE) == 1 and index or 0
local function answer(...) return {num(now), num(index), gone, num(had), num(base), ...} end
"""

#: id or '', id for a new one, URL, sent, tail, ttl, '1' if a new one has room, first registered or ''
#: -> before, after, whether anything but the time to live has changed; without room only `before` (nil)
REGISTER: Final = f"""{_PRELUDE}{_EXPIRE}
local id = ARGV[1]
if id == '' then id = string.match(redis.call('HGET', HASH, 'a:' .. ARGV[3]) or '', '^%S+') or ARGV[2] end
local known = redis.call('HMGET', HASH, 't:' .. id, 's:' .. id)
if not known[1] and ARGV[7] == '0' then return answer(false) end
local before = known[1] and entry(id)
local registered = known[1] and string.match(known[1], '^%d+') or ARGV[8] ~= '' and ARGV[8] or num(now)
put(id, ARGV[3], ARGV[4], ARGV[5], '', registered, num(now), tonumber(ARGV[6]))
local changed = known[2] ~= ARGV[4]
if changed then move(now) end
settle(id)
return answer(before, entry(id), changed and 1 or 0)
"""

#: id -> due, or nil
BEAT: Final = f"""{_PRELUDE}{_EXPIRE}
local id = ARGV[1]
local t = redis.call('HGET', HASH, 't:' .. id)
if not t then return answer(false) end
local registered, ttl = string.match(t, '^(%d+) %d+ (%d+)$')
local due = num(now + ttl)
redis.call('HSET', HASH, 't:' .. id, registered .. ' ' .. num(now) .. ' ' .. ttl)
redis.call('ZADD', DUE, due, id)
keep(tonumber(ttl))
if redis.call('HGET', HASH, 'primary') == id then settle() end
return answer(due)
"""

#: ids -> the entries that were there; the id alone for one that only the first registry's key knew
WITHDRAW: Final = f"""{_PRELUDE}{_EXPIRE}
local removed = {{}}
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', HASH, 't:' .. id) == 1 then
    removed[#removed + 1] = entry(id)
    remove(id)
  elseif names(redis.call('GET', SEED), id) then
    removed[#removed + 1] = {{id}}
    redis.call('DEL', SEED)
  end
end
if #removed > 0 then
  move(now)
  settle()
end
return answer(removed)
"""

#: id, what was set, what is set now -> entry and whether it was done; not done if something else was set; nil if gone
CHANGE: Final = f"""{_PRELUDE}{_EXPIRE}
local id = ARGV[1]
if redis.call('HEXISTS', HASH, 't:' .. id) == 0 then return answer(false) end
local done = (redis.call('HGET', HASH, 'o:' .. id) or '') == ARGV[2]
if done then
  if ARGV[3] == '' then redis.call('HDEL', HASH, 'o:' .. id) else redis.call('HSET', HASH, 'o:' .. id, ARGV[3]) end
  move(now)
end
return answer(entry(id), done and 1 or 0)
"""

#: index that is known or 0, then ids, or none for all -> the entries that are there; the first registry's key and its
#: milliseconds left, if it was another that wrote it. Where the known index still holds, the entries are one
#: text, with a line for each: id, times and due.
READ: Final = f"""{_PRELUDE}{_EXPIRE}
local current = redis.call('GET', SEED)
if not current then settle() end
if names(current, redis.call('HGET', HASH, 'primary')) then current = false end
local fresh = not current and index > 0 and tonumber(ARGV[1]) == index
table.remove(ARGV, 1)
local entries = {{}}
for _, id in ipairs(#ARGV > 0 and ARGV or redis.call('ZRANGE', DUE, 0, -1)) do
  if fresh then
    entries[#entries + 1] = id .. ' ' .. redis.call('HGET', HASH, 't:' .. id) .. ' ' .. redis.call('ZSCORE', DUE, id)
  else
    local e = entry(id)
    if e[4] then entries[#entries + 1] = e end
  end
end
if fresh then entries = table.concat(entries, '\\n') end
return answer(entries, current, current and redis.call('PTTL', SEED) or 0)
"""

#: Gives every one of these a full time to live, and lists again what Redis has lost. Nothing expires here.
#: index, then for each instance: id, URL, sent, tail, set, registered, heartbeat, ttl
#: -> after now, index and index at first: ids that were not there. A name that Redis has lost is as it was when all are
#: back, and keeps its index.
GRACE: Final = f"""{_PRELUDE}
local had, lost = index, {{}}
for i = 2, #ARGV, 8 do
  local id, ttl = ARGV[i], tonumber(ARGV[i + 7])
  if redis.call('HEXISTS', HASH, 't:' .. id) == 1 then
    redis.call('ZADD', DUE, num(now + ttl), id)
    keep(ttl)
  else
    put(id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ttl)
    lost[#lost + 1] = id
  end
end
if had == 0 then
  index = tonumber(ARGV[1])
  redis.call('HSET', HASH, 'index', ARGV[1])
elseif #lost > 0 and had ~= tonumber(ARGV[1]) then
  move(now)
end
settle()
return {{num(now), num(index), num(had), lost}}
"""

#: Of one key: holder, milliseconds -> whether the holder has it.
LEASE: Final = """
local time = redis.call('TIME')
if time[1] * 1000000 + time[2] > tonumber(ARGV[3]) then return redis.error_reply('LATE nobody waits any more') end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

ALL: Final = (REGISTER, BEAT, WITHDRAW, CHANGE, READ, GRACE, LEASE)
