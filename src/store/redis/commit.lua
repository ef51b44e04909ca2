-- Writes a decision, whole or not at all. ARGV: app, expected version, at (ms), document; dedupe key, whether there is one; effect
-- to settle, whether there is one; the fence or nothing; an id for the store, should it have none yet; number of effects, then for each lane, key,
-- whether it has one, body, expires (ms or empty); then the audit lines.
-- Returns the new version, -1 for raced, -2 for already seen, -3 for fenced.
local app, expected, at, document = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local seen, settle = ARGV[6] == '1' and ARGV[5], ARGV[8] == '1' and ARGV[7]
local DAY = 86400000

if ARGV[9] ~= '' and redis.call('GET', p .. 'fence') ~= ARGV[9] then return -3 end
if seen and redis.call('ZSCORE', p .. 'seen', seen) then return -2 end
if settle and redis.call('EXISTS', p .. 'effect:' .. settle) == 0 then return -2 end
local version = tonumber(redis.call('HGET', p .. 'app:' .. app, 'version') or '0')
if version ~= expected then return -1 end

redis.call('HSET', p .. 'app:' .. app, 'version', version + 1, 'document', document)
if settle then take_out(settle) end
redis.call('HSETNX', p .. 'store', 'id', ARGV[10])
local store = redis.call('HGET', p .. 'store', 'id')
local i = 12
for _ = 1, tonumber(ARGV[11]) do
  local lane, key, has_key, body, expires = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  i = i + 5
  local known = has_key == '1' and redis.call('HGET', p .. 'unclaimed', place(app, lane, key))
  if known then
    redis.call('HSET', p .. 'effect:' .. known, 'body', body, 'expires', expires)
  else
    local number = redis.call('HINCRBY', p .. 'store', 'last', 1)
    local id = store .. '-' .. number
    redis.call('HSET', p .. 'effect:' .. id, 'app', app, 'lane', lane, 'key', key, 'has_key', has_key,
      'body', body, 'expires', expires, 'created', at, 'due', 0, 'attempts', 0, 'uncertain', '0')
    redis.call('ZADD', p .. 'effects', at, id)
    redis.call('ZADD', p .. 'lane:' .. lane, number, id)
    if has_key == '1' then redis.call('HSET', p .. 'unclaimed', place(app, lane, key), id) end
    schedule(lane)
  end
end
-- Each line with its time before it: whoever moves the log has to know it.
for line = i, #ARGV do redis.call('LPUSH', p .. 'audit:' .. app, at .. ' ' .. ARGV[line]) end
if seen then
  redis.call('ZREMRANGEBYSCORE', p .. 'seen', '-inf', '(' .. (at - DAY))
  redis.call('ZADD', p .. 'seen', at, seen)
end
return version + 1
