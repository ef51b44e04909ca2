-- Keeps a claim alive. ARGV: id, when it ends (ms), when it is to end.
local effect = p .. 'effect:' .. ARGV[1]
if redis.call('HGET', effect, 'leased') ~= ARGV[2] then return 0 end
redis.call('HSET', effect, 'leased', ARGV[3])
schedule(redis.call('HGET', effect, 'lane'))
return 1
