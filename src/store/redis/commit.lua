-- Writes decisions, all of them or none. ARGV: app, expected version, at (ms), document or nothing where it stays as it is; the fence or
-- nothing; an id for the store, should it have none yet; until when it may be written, by the clock here (ms); number of decisions. Then for
-- each: dedupe key, whether there is one; effect to settle, whether there is one; number of effects, number of audit lines; for each effect
-- lane, key, whether it has one, body, expires (ms or empty); the audit lines. Returns the time here (ms), then the version from now on, or -1 for raced, -3 for fenced, -4 for too late, -2 for already seen followed by the
-- places of those that were, from 0.
local app, expected, at, document = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local DAY = 86400000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[7]) then return { now, -4 } end
if ARGV[5] ~= '' and redis.call('GET', p .. 'fence') ~= ARGV[5] then return { now, -3 } end

local decisions, keys, settled, known = {}, {}, {}, { now, -2 }
local i = 9
for place = 1, tonumber(ARGV[8]) do
  local seen, settle = ARGV[i + 1] == '1' and ARGV[i], ARGV[i + 3] == '1' and ARGV[i + 2]
  local effects, lines = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  if seen and (keys[seen] or redis.call('ZSCORE', p .. 'seen', seen))
    or settle and (settled[settle] or redis.call('EXISTS', p .. 'effect:' .. settle) == 0) then
    known[#known + 1] = place - 1
  end
  if seen then keys[seen] = true end
  if settle then settled[settle] = true end
  decisions[place] = { seen, settle, i + 6, i + 6 + effects * 5, i + 5 + effects * 5 + lines }
  i = i + 6 + effects * 5 + lines
end
if #known > 2 then return known end
local version = tonumber(redis.call('HGET', p .. 'app:' .. app, 'version') or '0')
if version ~= expected then return { now, -1 } end

if document ~= '' then
  version = version + 1
  redis.call('HSET', p .. 'app:' .. app, 'version', version, 'document', document)
end
redis.call('HSETNX', p .. 'store', 'id', ARGV[6])
local store = redis.call('HGET', p .. 'store', 'id')

local function queue(lane, key, has_key, body, expires)
  local known = has_key == '1' and redis.call('HGET', p .. 'unclaimed', place(app, lane, key))
  if known then
    redis.call('HSET', p .. 'effect:' .. known, 'body', body, 'expires', expires)
    return
  end
  local number = redis.call('HINCRBY', p .. 'store', 'last', 1)
  local id = store .. '-' .. number
  redis.call('HSET', p .. 'effect:' .. id, 'app', app, 'lane', lane, 'key', key, 'has_key', has_key,
    'body', body, 'expires', expires, 'created', at, 'due', 0, 'attempts', 0, 'uncertain', '0')
  redis.call('ZADD', p .. 'effects', at, id)
  redis.call('ZADD', p .. 'lane:' .. lane, number, id)
  if has_key == '1' then redis.call('HSET', p .. 'unclaimed', place(app, lane, key), id) end
  schedule(lane)
end

local pruned = false
for _, decision in ipairs(decisions) do
  local seen, settle, effects, lines, last = unpack(decision)
  if settle then take_out(settle) end
  for j = effects, lines - 1, 5 do queue(ARGV[j], ARGV[j + 1], ARGV[j + 2], ARGV[j + 3], ARGV[j + 4]) end
  -- Each line with its time before it: whoever moves the log has to know it.
  for j = lines, last do redis.call('LPUSH', p .. 'audit:' .. app, at .. ' ' .. ARGV[j]) end
  if seen then
    if not pruned then redis.call('ZREMRANGEBYSCORE', p .. 'seen', '-inf', '(' .. (at - DAY)) end
    pruned = true
    redis.call('ZADD', p .. 'seen', at, seen)
  end
end
return { now, version }
