-- Gives a claim back; its lane waits. ARGV: id, when it is due (ms), uncertain.
local effect = p .. 'effect:' .. ARGV[1]
local lane = redis.call('HGET', effect, 'lane')
if not lane then return 0 end
redis.call('HDEL', effect, 'leased')
redis.call('HSET', effect, 'due', ARGV[2])
if ARGV[3] == '1' then redis.call('HSET', effect, 'uncertain', '1') end
schedule(lane)
return 1
