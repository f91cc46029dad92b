#!lua
-- Checks every limit of a call and takes a hold, or says which limit bit. Nothing is written on a refusal.
-- Safe to repeat: a request id that has a hold already, or had one, is admitted again without a second hold.
--
-- KEYS 1 quota (hash)  2 requests of the last minute (zset)  3 open calls of the account (zset)
--      4 accounts of the shard by when the sweep looks at them (zset)  5 this call's hold (string)
--      6... a counter for each budget (hash)
-- ARGV 1 request id  2 numbers, as `Counters.admit` packs them: period start ms, period end ms, hold lasts ms, calls a
--      period, spend limit nano, requests a minute, tokens a minute, calls at once, nano to hold, tokens to hold, and the
--      limit of each budget nano  3 account  4 report of an abandoned call (JSON)
--      and where it is a quote, not a call: 5 its terms (JSON)  6 when it ends at the latest, ms  7 the most quotes at
--      once  8 the account's quotes (a zset in the same slot: quote id -> deadline ms)  9 the quote (a hash there)
--      10 period
-- A limit of -1 means none: a budget with it only counts. All time is the server's.
-- Answers {"OK", state} or {"NO", limit's name, its budget's number from 1 or 0, limit, used, ms until it may
--      pass, state}, where state is now ms, calls, nano, requests this minute, tokens free, open, nano that the
--      tightest budget has left (-1 without one); or
--      {"MISS", numbers of the counters that are not there: 0 the quota, 1... the budgets} (rebuild them first)
--      or {"PERIOD", now ms} (the clock moved on).
local call, MINUTE_US = redis.call, 60000000
local start, stop, lasts, most_calls, most_nano, rpm, tpm, at_once, nano, tokens = struct.unpack('<dddddddddd', ARGV[2])
local t = call('TIME')
local now_us = t[1] * 1000000 + t[2]
local now = math.floor(now_us / 1000)
if now < start or now >= stop then return {'PERIOD', now} end

-- Look: at counters, which must all be there, and at what the last minute brought.
local q = call('HMGET', KEYS[1], 'seeded', 'calls', 'held_calls', 'nano', 'held_nano', 'tat', 'trim_at')
local missing, budgets, most, spent = {'MISS'}, #KEYS - 5, {}, {}
if not q[1] then missing[2] = 0 end
for i = 1, budgets do
  local b = call('HMGET', KEYS[5 + i], 'seeded', 'nano', 'held_nano')
  if not b[1] then missing[#missing + 1] = i end
  most[i], spent[i] = struct.unpack('<d', ARGV[2], 73 + 8 * i), (b[2] or 0) + (b[3] or 0)
end
if #missing > 1 then return missing end
local held_calls, held_nano = (q[3] or 0) + 0, (q[5] or 0) + 0
local calls, used = (q[2] or 0) + held_calls, (q[4] or 0) + held_nano
local minute = rpm < 0 and 0 or call('ZCOUNT', KEYS[2], now_us - MINUTE_US + 1, '+inf')
local open = call('ZCOUNT', KEYS[3], now + 1, '+inf')
-- Tokens, by GCRA: the time at which all of them are there again. A clock that stepped back must not lock the account
-- out for longer than a minute.
local tat = math.min(math.max(q[6] or 0, now_us), now_us + MINUTE_US)
local tat_after = tat
if tpm >= 0 then tat_after = tpm == 0 and math.huge or tat + math.ceil(tokens * MINUTE_US / tpm) end
local alive = ARGV[5] and call('ZRANGE', ARGV[8], now + 1, '+inf', 'BYSCORE', 'WITHSCORES')

local function tokens_free(at) return tpm < 0 and -1 or math.floor((now_us + MINUTE_US - at) * tpm / MINUTE_US) end
local function room()
  local least = -1
  for i = 1, budgets do
    local left = math.max(most[i] - spent[i], 0)
    if most[i] >= 0 and (least < 0 or left < least) then least = left end
  end
  return least
end

-- Judge. Lasting limits first: who is out of calls should hear that, not "slow down".
-- Returns the limit that bites: its name, its budget's number, limit, used, ms until it may pass; or nothing.
local function refusal()
  if most_calls >= 0 and calls + 1 > most_calls then return 'calls', 0, most_calls, calls, stop - now end
  if most_nano >= 0 and used + nano > most_nano then return 'spend', 0, most_nano, used, stop - now end
  for i = 1, budgets do
    if most[i] >= 0 and spent[i] + nano > most[i] then return 'budget', i, most[i], spent[i], 0 end
  end
  if rpm >= 0 and minute + 1 > rpm then
    local since = {now_us - MINUTE_US + 1, '+inf', 'WITHSCORES', 'LIMIT', minute - rpm, 1}
    local oldest = rpm > 0 and call('ZRANGEBYSCORE', KEYS[2], unpack(since))[2] or now_us
    return 'requests', 0, rpm, minute, math.ceil((oldest + MINUTE_US - now_us) / 1000)
  end
  if tat_after > now_us + MINUTE_US then
    local wait = math.min(tat_after - now_us - MINUTE_US, MINUTE_US)
    return 'tokens', 0, tpm, tpm - tokens_free(tat), math.ceil(wait / 1000)
  end
  if at_once >= 0 and open + 1 > at_once then return 'concurrency', 0, at_once, open, 1000 end
  if alive and #alive / 2 >= tonumber(ARGV[7]) then
    return 'quotes', 0, tonumber(ARGV[7]), #alive / 2, math.ceil(alive[2] - now)
  end
end
local name, budget, limit, so_far, wait = refusal()
if name and call('EXISTS', KEYS[5]) == 0 then
  return {'NO', name, budget, limit, so_far, wait, now, calls, used, minute, tokens_free(tat), open, room()}
end

-- Take the hold, and with it its place in every counter. Everything that could fail is behind us.
local counters = budgets == 0 and KEYS[1] or KEYS[1] .. ' ' .. table.concat(KEYS, ' ', 6)
local hold = struct.pack('<ddddHc0', nano, tokens, tpm, now_us, #counters, counters) .. ARGV[4]
if name or not call('SET', KEYS[5], (alive and 'quot' or 'open') .. hold, 'NX') then
  return {'OK', now, calls, used, minute, tokens_free(tat), open, room()} -- it is a repetition
end
local deadline = now + lasts
if alive then
  -- A quote ends with the period and with the budgets' windows that it is held in, and so its call belongs to them too.
  deadline = math.min(deadline, stop, tonumber(ARGV[6]))
  call('HSET', ARGV[9], 'terms', ARGV[5], 'state', 'open', 'until', deadline, 'period', ARGV[10], 'nano', nano,
       'tokens', tokens, 'counters', counters, 'report', ARGV[4])
  call('ZADD', ARGV[8], deadline, ARGV[1])
end
call('ZADD', KEYS[3], deadline, ARGV[1])
call('ZADD', KEYS[4], 'LT', deadline, ARGV[3]) -- the sweep looks at the account when its first deadline passes
local trim_at = tonumber(q[7] or 0)
if rpm >= 0 then
  call('ZADD', KEYS[2], now_us, ARGV[1])
  if trim_at <= now or trim_at > now + 60000 then -- now and then: it need not be short, only right
    call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_us - MINUTE_US)
    call('PEXPIRE', KEYS[2], 180000)
    trim_at = now + 60000
  end
end
if math.abs(held_nano + nano) < 2^53 then
  call('HSET', KEYS[1], 'held_calls', held_calls + 1, 'held_nano', held_nano + nano, 'tat', tat_after, 'trim_at', trim_at)
else -- past what a number of Lua holds exactly
  call('HSET', KEYS[1], 'held_calls', held_calls + 1, 'tat', tat_after, 'trim_at', trim_at)
  call('HINCRBY', KEYS[1], 'held_nano', nano)
end
for i = 1, budgets do
  call('HINCRBY', KEYS[5 + i], 'held_nano', nano)
  spent[i] = spent[i] + nano
end
return {'OK', now, calls + 1, used + nano, minute + 1, tokens_free(tat_after), open + 1, room()}
