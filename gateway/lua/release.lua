#!lua
-- Gives the hold of a quote back, before it was redeemed or swept. Safe to repeat. There was no call: nothing is recorded.
--
-- KEYS 1 quota (hash)  2 tokens, GCRA's TAT (string)  3 open calls (zset)  4 deadlines (zset)  5 quotes (zset)
--      6 the quote's hold (hash)          ARGV 1 quote id
-- Answers 1 if it did, 0 if there is no open quote. The budgets' counters carry the same hash tag.
local hold = redis.call('HMGET', KEYS[6], 'terms', 'state', 'nano', 'budgets', 'tokens', 'tpm', 'at_us')
if not hold[1] or hold[2] ~= 'open' then return 0 end
local held = string.format('%.0f', 0 - tonumber(hold[3]))
if redis.call('HEXISTS', KEYS[1], 'seeded') == 1 then
  redis.call('HINCRBY', KEYS[1], 'held_calls', -1)
  redis.call('HINCRBY', KEYS[1], 'held_nano', held)
end
for budget in string.gmatch(hold[4] or '', '%S+') do
  if redis.call('HEXISTS', budget, 'seeded') == 1 then redis.call('HINCRBY', budget, 'held_nano', held) end
end
local tpm, tat = tonumber(hold[6]), tonumber(redis.call('GET', KEYS[2]) or '0')
if tpm > 0 and tat > 0 then
  -- All its tokens, but not what the rate has given back by itself since: else those would pass twice.
  local t = redis.call('TIME')
  local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
  local cost = tonumber(hold[5]) * 60000000 / tpm
  local ahead = math.max(0, tonumber(hold[7]) + math.ceil(cost) - now_us)
  redis.call('SET', KEYS[2], string.format('%.0f', tat - math.min(math.floor(cost), ahead)), 'PX', 61000)
end
for i = 3, 5 do redis.call('ZREM', KEYS[i], ARGV[1]) end
redis.call('DEL', KEYS[6])
return 1
