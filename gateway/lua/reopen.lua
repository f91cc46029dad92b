#!lua
-- Ends a call that failed and makes its hold the quote's again, for the call to be tried once more: `redeem.lua` backwards,
-- with the call's report. One step, in which no counter moves. Safe to repeat: a call that has ended is told DUP.
--
-- KEYS 1 the quote's hold (hash)  2 the call's hold (hash)  3 open calls of the account (zset)  4 deadlines (zset)
--      5 the account's quotes (zset)  6 usage stream
-- ARGV 1 quote id  2 request id  3 report (JSON): nothing charged, no call counted  4 the most calls of one quote
-- Answers "OK", "DUP", or "NO" where the quote stays used up and nothing was done: its time is over, its tries are,
-- another call has it, or the call's hold was swept. The call is settled as any other, then.
local call = redis.call('HMGET', KEYS[2], 'state', 'budgets')
if call[1] == 'done' then return 'DUP' end
local quote = redis.call('HMGET', KEYS[1], 'state', 'rid', 'until', 'tries')
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local tries = tonumber(quote[4] or '0') + 1
if call[1] ~= 'open' or quote[1] ~= 'redeemed' or quote[2] ~= ARGV[2] then return 'NO' end
if tonumber(quote[3]) <= now or tries >= tonumber(ARGV[4]) then return 'NO' end

-- A budget that was set while the call ran has joined the call's hold, and so the quote's.
redis.call('HSET', KEYS[1], 'state', 'open', 'tries', tries, 'budgets', call[2] or '')
redis.call('HDEL', KEYS[1], 'rid')
redis.call('PERSIST', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[2])
for i = 3, 5 do redis.call('ZADD', KEYS[i], quote[3], ARGV[1]) end
redis.call('XADD', KEYS[6], '*', 'kind', 'final', 'report', ARGV[3])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'state', 'done')
redis.call('EXPIRE', KEYS[2], 3600)
return 'OK'
