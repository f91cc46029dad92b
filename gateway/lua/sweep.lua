-- Ends holds whose deadline passed: their process died. Each is recorded as abandoned, at no charge; but of a quote that
-- nobody redeemed there is no record, since there was no call.
-- Safe to repeat and to run from many places at once.
--
-- KEYS 1 deadlines of the shard (zset)  2 usage stream        ARGV 1 most to end at once  2 the shard's key prefix
-- Answers the ids of the calls and quotes that were ended. The other keys it touches carry the same hash tag.
local t = redis.call('TIME')
local now = string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))
for _, rid in ipairs(due) do
  local key = ARGV[2] .. 'hold:' .. rid
  local hold = redis.call('HMGET', key, 'state', 'account', 'period', 'nano', 'report', 'budgets', 'terms')
  redis.call('ZREM', KEYS[1], rid)
  if hold[1] == 'open' then
    local held = string.format('%.0f', 0 - tonumber(hold[4]))
    local quota = ARGV[2] .. 'quota:' .. hold[2] .. ':' .. hold[3]
    if redis.call('HEXISTS', quota, 'seeded') == 1 then
      redis.call('HINCRBY', quota, 'held_calls', -1)
      redis.call('HINCRBY', quota, 'held_nano', held)
    end
    for budget in string.gmatch(hold[6] or '', '%S+') do
      if redis.call('HEXISTS', budget, 'seeded') == 1 then redis.call('HINCRBY', budget, 'held_nano', held) end
    end
    redis.call('ZREM', ARGV[2] .. 'open:' .. hold[2], rid)
    if hold[7] then
      redis.call('ZREM', ARGV[2] .. 'quotes:' .. hold[2], rid)
      redis.call('HSET', key, 'state', 'expired')
    else
      redis.call('XADD', KEYS[2], '*', 'kind', 'abandoned', 'report', hold[5])
      redis.call('DEL', key)
      -- A settlement that comes after this must still find the budgets that it belongs to.
      redis.call('HSET', key, 'state', 'void', 'budgets', hold[6] or '')
    end
    redis.call('EXPIRE', key, 86400)
  end
end
return due
