-- Stops leading. ARGV: who.
if redis.call('GET', p .. 'leader') ~= ARGV[1] then return 0 end
return redis.call('DEL', p .. 'leader')
