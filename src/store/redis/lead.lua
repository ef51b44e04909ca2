-- Leads, or goes on leading. ARGV: who, for how long (ms); then for each app its name and when it was last seen at GitHub (ms).
-- Returns the fence, or false while somebody else leads.
local leader = redis.call('GET', p .. 'leader')
if leader and leader ~= ARGV[1] then return false end
redis.call('SET', p .. 'leader', ARGV[1], 'PX', ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HSET', p .. 'looked', ARGV[i], ARGV[i + 1]) end
if leader then return redis.call('GET', p .. 'fence') end
return redis.call('INCR', p .. 'fence')
