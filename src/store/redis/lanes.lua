-- What every script begins with. KEYS[1]: the prefix of all keys.
local p = KEYS[1]

-- Says when a lane's head is due: the later of its own time and the end of its lease.
local function schedule(lane)
  local head = redis.call('ZRANGE', p .. 'lane:' .. lane, 0, 0)[1]
  if not head then
    redis.call('ZREM', p .. 'lanes', lane)
    return
  end
  local times = redis.call('HMGET', p .. 'effect:' .. head, 'due', 'leased')
  redis.call('ZADD', p .. 'lanes', math.max(tonumber(times[1]), tonumber(times[2] or '0')), lane)
end

-- Takes an effect out of its lane; whether there was one.
local function take_out(id)
  local lane = redis.call('HGET', p .. 'effect:' .. id, 'lane')
  if not lane then return false end
  redis.call('ZREM', p .. 'lane:' .. lane, id)
  redis.call('ZREM', p .. 'effects', id)
  redis.call('DEL', p .. 'effect:' .. id)
  schedule(lane)
  return true
end

-- Where an effect with a key that nobody has claimed is looked for; `moving.rs` writes the same.
local function place(app, lane, key) return #app .. ':' .. app .. #lane .. ':' .. lane .. key end
