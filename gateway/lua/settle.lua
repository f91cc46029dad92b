#!lua
-- Replaces a hold by what the call really used, and adds its report to the usage stream: one step, or none.
-- Every counter that the hold was taken in moves. Safe to repeat: a settled call answers DUP and nothing moves.
--
-- KEYS 1 quota (hash)  2 open calls (zset)  3 hold (string)  4 usage stream
--      5... the counters of the budgets that the call was admitted with (hashes)
-- ARGV 1 request id  2 nano charged  3 tokens used  4 calls to count (0 or 1)  5 report (JSON)
-- Answers "OK", "DUP", "LATE" (its hold had expired and was swept; charged all the same, once), or
-- "UNKNOWN" (the hold is gone, as after a loss of data: the report is kept, the ledger decides).
local call, hold = redis.call, redis.call('GET', KEYS[3])
local state = hold and string.sub(hold, 1, 4)
if state == 'done' then return 'DUP' end

-- The hold knows best: a budget that was set while the call ran has joined it.
local nano, tokens, tpm, begun_us, budgets = 0, 0, -1, 0, table.concat(KEYS, ' ', 5)
if state then
  local counters
  nano, tokens, tpm, begun_us, counters = struct.unpack('<ddddHc0', hold, 5)
  budgets = string.sub(counters, #KEYS[1] + 2)
end
local is_open = state == 'open'
local ended = is_open and 1 or 0
if not is_open then nano = 0 end -- what was given back already is not given back again

-- Unused tokens come back; in the next period, where that has begun since and goes on with this one's.
local quota = call('HMGET', KEYS[1], 'seeded', 'calls', 'nano', 'held_calls', 'held_nano', 'tat', 'next')
local home, tat, after = KEYS[1], quota[6], quota[7]
while after do home, tat, after = after, unpack(call('HMGET', after, 'tat', 'next')) end
local unused = tokens - ARGV[3]
if is_open and tpm > 0 and unused ~= 0 and tat and tonumber(tat) > 0 then
  -- But not what the rate has given back by itself since: else those tokens would pass twice.
  local t = call('TIME')
  local ahead = math.max(0, begun_us + math.ceil(tokens * 60000000 / tpm) - (t[1] * 1000000 + t[2]))
  tat = tat - math.min(math.floor(unused * 60000000 / tpm), ahead)
  if home ~= KEYS[1] or not quota[1] then call('HSET', home, 'tat', tat) end
end

if quota[1] then
  local calls, held_calls = (quota[2] or 0) + ARGV[4], (quota[4] or 0) - ended
  local charged, held = (quota[3] or 0) + ARGV[2], (quota[5] or 0) - nano
  if math.abs(charged) < 2^53 and math.abs(held) < 2^53 then
    call('HSET', KEYS[1], 'calls', calls, 'nano', charged, 'held_calls', held_calls, 'held_nano', held, 'tat', tat or 0)
  else -- past what a number of Lua holds exactly
    call('HSET', KEYS[1], 'calls', calls, 'held_calls', held_calls, 'tat', tat or 0)
    call('HINCRBY', KEYS[1], 'held_nano', 0 - nano)
    call('HINCRBY', KEYS[1], 'nano', ARGV[2])
  end
end
for budget in string.gmatch(budgets, '%S+') do
  if call('HEXISTS', budget, 'seeded') == 1 then
    if is_open then call('HINCRBY', budget, 'held_nano', 0 - nano) end
    call('HINCRBY', budget, 'nano', ARGV[2])
  end
end
call('ZREM', KEYS[2], ARGV[1])
call('XADD', KEYS[4], '*', 'kind', state == 'void' and 'late' or 'final', 'report', ARGV[5])
call('SET', KEYS[3], 'done', 'EX', 3600)
return is_open and 'OK' or state == 'void' and 'LATE' or 'UNKNOWN'
