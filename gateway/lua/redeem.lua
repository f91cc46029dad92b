#!lua
-- Makes the hold of a quote the hold of the call that redeems it: one step, in which nothing is given back or taken, so
-- no counter moves. Safe to repeat: the call that has redeemed it is told OK again.
--
-- KEYS 1 the quote (hash)  2 the quote's hold (string)  3 the call's hold (string)  4 open calls of the account (zset)
--      5 accounts by when the sweep looks at them (zset)  6 the account's quotes (zset)
-- ARGV 1 quote id  2 request id  3 hold lasts ms  4 report of an abandoned call (JSON)  5 account
-- Answers {"OK"}, {"USED", rid} (another call has redeemed it), {"EXPIRED"}, or {"NONE"} (never was, or given back).
if redis.call('EXISTS', KEYS[3]) == 1 then return {'OK'} end
local quote = redis.call('HMGET', KEYS[1], 'state', 'rid', 'until')
if not quote[1] then return {'NONE'} end
if quote[1] == 'redeemed' then return {'USED', quote[2]} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if quote[1] ~= 'open' or tonumber(quote[3]) <= now then return {'EXPIRED'} end

local hold, deadline = redis.call('GET', KEYS[2]), now + ARGV[3]
local _, _, _, _, _, report_at = struct.unpack('<ddddHc0', hold, 5)
redis.call('SET', KEYS[3], 'open' .. string.sub(hold, 5, report_at - 1) .. ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'state', 'redeemed', 'rid', ARGV[2])
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZADD', KEYS[4], deadline, ARGV[2])
redis.call('ZADD', KEYS[5], 'LT', deadline, ARGV[5])
return {'OK'}
