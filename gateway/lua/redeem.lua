#!lua
-- Makes the hold of a quote the hold of the call that redeems it: one step, in which nothing is given back or taken, so
-- no counter moves. Safe to repeat: the call that has redeemed it is told OK again.
--
-- KEYS 1 the quote's hold (hash)  2 the call's hold (hash)  3 open calls of the account (zset)  4 deadlines (zset)
--      5 the account's quotes (zset)
-- ARGV 1 quote id  2 request id  3 hold lasts ms  4 report of an abandoned call (JSON)
-- Answers {"OK"}, {"USED", rid} (another call has redeemed it), {"EXPIRED"}, or {"NONE"} (never was, or given back).
if redis.call('HEXISTS', KEYS[2], 'state') == 1 then return {'OK'} end
local quote = redis.call('HMGET', KEYS[1], 'terms', 'state', 'rid', 'until', 'account', 'period', 'nano', 'tokens',
                         'tpm', 'at_us', 'budgets')
if not quote[1] then return {'NONE'} end
if quote[2] == 'redeemed' then return {'USED', quote[3]} end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
if quote[2] ~= 'open' or tonumber(quote[4]) <= now then return {'EXPIRED'} end

local deadline = string.format('%.0f', now + tonumber(ARGV[3]))
redis.call('HSET', KEYS[2], 'state', 'open', 'account', quote[5], 'period', quote[6], 'nano', quote[7],
           'tokens', quote[8], 'tpm', quote[9], 'at_us', quote[10], 'report', ARGV[4], 'budgets', quote[11] or '')
redis.call('HSET', KEYS[1], 'state', 'redeemed', 'rid', ARGV[2])
redis.call('EXPIRE', KEYS[1], 86400)
for i = 3, 5 do redis.call('ZREM', KEYS[i], ARGV[1]) end
redis.call('ZADD', KEYS[3], deadline, ARGV[2])
redis.call('ZADD', KEYS[4], deadline, ARGV[2])
return {'OK'}
