#!lua
-- Gives the hold of a quote back, before it was redeemed or swept. Safe to repeat. There was no call: nothing is recorded.
--
-- KEYS 1 quota (hash)  2 open calls (zset)  3 the account's quotes (zset)  4 the quote (hash)  5 the quote's hold (string)
-- ARGV 1 quote id
-- Answers 1 if it did, 0 if there is no open quote. The budgets' counters carry the same hash tag.
local hold = redis.call('GET', KEYS[5])
if not hold then return 0 end
local nano, tokens, tpm, begun_us, counters = struct.unpack('<ddddHc0', hold, 5)
for counter in string.gmatch(counters, '%S+') do
  if redis.call('HEXISTS', counter, 'seeded') == 1 then
    if counter == KEYS[1] then redis.call('HINCRBY', counter, 'held_calls', -1) end
    redis.call('HINCRBY', counter, 'held_nano', 0 - nano)
  end
end
local home, after = KEYS[1], redis.call('HGET', KEYS[1], 'next') -- the next period goes on with this one's tokens
while after do home, after = after, redis.call('HGET', after, 'next') end
local tat = tonumber(redis.call('HGET', home, 'tat') or 0)
if tpm > 0 and tat > 0 then
  -- All its tokens, but not what the rate has given back by itself since: else those would pass twice.
  local t = redis.call('TIME')
  local cost = tokens * 60000000 / tpm
  local ahead = math.max(0, begun_us + math.ceil(cost) - (t[1] * 1000000 + t[2]))
  redis.call('HSET', home, 'tat', tat - math.min(math.floor(cost), ahead))
end
for i = 2, 3 do redis.call('ZREM', KEYS[i], ARGV[1]) end
redis.call('DEL', KEYS[4], KEYS[5])
return 1
