#!lua
-- Ends a call that failed and makes its hold the quote's again, for the call to be tried once more: `redeem.lua` backwards,
-- with the call's report. One step, in which no counter moves. Safe to repeat: a call that has ended is told DUP.
--
-- KEYS 1 the quote (hash)  2 the quote's hold (string)  3 the call's hold (string)  4 open calls of the account (zset)
--      5 accounts by when the sweep looks at them (zset)  6 the account's quotes (zset)  7 usage stream
-- ARGV 1 quote id  2 request id  3 report (JSON): nothing charged, no call counted  4 the most calls of one quote
--      5 account
-- Answers "OK", "DUP", or "NO" where the quote stays used up and nothing was done: its time is over, its tries are,
-- another call has it, or the call's hold was swept. The call is settled as any other, then.
local hold = redis.call('GET', KEYS[3]) or ''
local state = string.sub(hold, 1, 4)
if state == 'done' then return 'DUP' end
local quote = redis.call('HMGET', KEYS[1], 'state', 'rid', 'until', 'tries', 'report')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local tries = (quote[4] or 0) + 1
if state ~= 'open' or quote[1] ~= 'redeemed' or quote[2] ~= ARGV[2] then return 'NO' end
if tonumber(quote[3]) <= now or tries >= tonumber(ARGV[4]) then return 'NO' end

-- A budget that was set while the call ran has joined the call's hold, and so the quote's.
local _, _, _, _, counters, report_at = struct.unpack('<ddddHc0', hold, 5)
redis.call('SET', KEYS[2], 'quot' .. string.sub(hold, 5, report_at - 1) .. quote[5])
redis.call('HSET', KEYS[1], 'state', 'open', 'tries', tries, 'counters', counters)
redis.call('HDEL', KEYS[1], 'rid')
redis.call('PERSIST', KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[4], quote[3], ARGV[1])
redis.call('ZADD', KEYS[5], 'LT', quote[3], ARGV[5])
redis.call('ZADD', KEYS[6], quote[3], ARGV[1])
redis.call('XADD', KEYS[7], '*', 'kind', 'final', 'report', ARGV[3])
redis.call('SET', KEYS[3], 'done', 'EX', 3600)
return 'OK'
