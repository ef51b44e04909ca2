-- Claims the heads of lanes that are due, the oldest of them. ARGV: now, end of the lease (ms), how many at most.
-- Returns when a lane is due next (ms; false where there is none), then for each that was claimed: id, app, lane, key, whether it has one,
-- body, attempts, uncertain, created, expires.
local due = {}
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', p .. 'lanes', '-inf', ARGV[1])) do
  local head = redis.call('ZRANGE', p .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
  due[#due + 1] = { lane, head[1], tonumber(head[2]) }
end
table.sort(due, function(a, b) return a[3] < b[3] end)
local claimed = {}
for i = 1, math.min(#due, tonumber(ARGV[3])) do
  local lane, id = due[i][1], due[i][2]
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
return { redis.call('ZRANGE', p .. 'lanes', 0, 0, 'WITHSCORES')[2] or false, claimed }
