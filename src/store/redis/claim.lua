-- Claims the head of each lane that is due. ARGV: now, end of the lease (ms).
-- Returns for each: id, app, lane, key, whether it has one, body, attempts, uncertain, created, expires.
local claimed = {}
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', p .. 'lanes', '-inf', ARGV[1])) do
  local id = redis.call('ZRANGE', p .. 'lane:' .. lane, 0, 0)[1]
  local effect = p .. 'effect:' .. id
  local attempts = redis.call('HINCRBY', effect, 'attempts', 1)
  -- A lease that is still there has ended by itself: whoever had it may have done the deed.
  if redis.call('HEXISTS', effect, 'leased') == 1 then redis.call('HSET', effect, 'uncertain', '1') end
  redis.call('HSET', effect, 'leased', ARGV[2])
  schedule(lane)
  local e = redis.call('HMGET', effect, 'app', 'lane', 'key', 'has_key', 'body', 'uncertain', 'created', 'expires')
  if e[4] == '1' and attempts == 1 then redis.call('HDEL', p .. 'unclaimed', place(e[1], e[2], e[3])) end
  claimed[#claimed + 1] = { id, e[1], e[2], e[3], e[4], e[5], tostring(attempts), e[6], e[7], e[8] }
end
local function number(row) return tonumber(string.match(row[1], '%d+$')) end
table.sort(claimed, function(a, b) return number(a) < number(b) end)
return claimed
