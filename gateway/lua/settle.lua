#!lua
-- Replaces a hold by what the call really used, and adds its report to the usage stream: one step, or none.
-- Every counter that the hold was taken in moves. Safe to repeat: a settled call answers DUP and nothing moves.
--
-- KEYS 1 quota (hash)  2 tokens, GCRA's TAT (string)  3 open calls (zset)  4 deadlines (zset)  5 hold (hash)
--      6 usage stream  7... the counters of the budgets that the call was admitted with (hashes)
-- ARGV 1 request id  2 nano charged  3 tokens used  4 calls to count (0 or 1)  5 report (JSON)
-- Answers "OK", "DUP", "LATE" (its hold had expired and was swept; charged all the same, once), or
-- "UNKNOWN" (the hold is gone, as after a loss of data: the report is kept, the ledger decides).
local hold = redis.call('HMGET', KEYS[5], 'state', 'nano', 'tokens', 'tpm', 'budgets', 'at_us')
local state = hold[1]
if state == 'done' then return 'DUP' end

local outcome, kind = 'OK', 'final'
if state == 'void' then outcome, kind = 'LATE', 'late' end
if not state then outcome = 'UNKNOWN' end

-- The hold knows best: a budget that was set while the call ran has joined it.
local budgets = {unpack(KEYS, 7)}
if state then
  budgets = {}
  for key in string.gmatch(hold[5] or '', '%S+') do budgets[#budgets + 1] = key end
end
local held = state == 'open' and string.format('%.0f', 0 - tonumber(hold[2]))
local q = redis.call('HMGET', KEYS[1], 'seeded', 'calls', 'nano', 'held_calls', 'held_nano')
if q[1] then
  local function value(i) return tonumber(q[i] or '0') end
  local nano, held_nano = value(3) + tonumber(ARGV[2]), value(5) + (held and tonumber(held) or 0)
  if math.abs(nano) < 2^53 and math.abs(held_nano) < 2^53 then
    redis.call('HSET', KEYS[1], 'calls', value(2) + tonumber(ARGV[4]), 'nano', nano,
               'held_calls', value(4) - (held and 1 or 0), 'held_nano', held_nano)
  else -- past what a number of Lua holds exactly
    redis.call('HINCRBY', KEYS[1], 'held_calls', held and -1 or 0)
    redis.call('HINCRBY', KEYS[1], 'held_nano', held or 0)
    redis.call('HINCRBY', KEYS[1], 'calls', ARGV[4])
    redis.call('HINCRBY', KEYS[1], 'nano', ARGV[2])
  end
end
for _, key in ipairs(budgets) do
  if redis.call('HEXISTS', key, 'seeded') == 1 then
    if held then redis.call('HINCRBY', key, 'held_nano', held) end
    redis.call('HINCRBY', key, 'nano', ARGV[2])
  end
end
local tpm = tonumber(hold[4] or '-1')
if held and tpm > 0 then
  -- Give back the tokens that were held and not used.
  local unused = tonumber(hold[3]) - tonumber(ARGV[3])
  local tat = tonumber(redis.call('GET', KEYS[2]) or '0')
  if tat > 0 and unused ~= 0 then
    -- But not what the rate has given back by itself since: else those tokens would pass twice.
    local t = redis.call('TIME')
    local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
    local at_us = tonumber(hold[6] or '0')
    local ahead = math.max(0, at_us + math.ceil(tonumber(hold[3]) * 60000000 / tpm) - now_us)
    local back = math.min(math.floor(unused * 60000000 / tpm), ahead)
    redis.call('SET', KEYS[2], tat - back, 'PX', 61000)
  end
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('XADD', KEYS[6], '*', 'kind', kind, 'report', ARGV[5])
redis.call('DEL', KEYS[5])
redis.call('HSET', KEYS[5], 'state', 'done')
redis.call('EXPIRE', KEYS[5], 3600)
return outcome
