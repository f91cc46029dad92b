#!lua
-- Checks every limit of a call and takes a hold, or says which limit bit. Nothing is written on a refusal.
-- Safe to repeat: a request id that holds already is admitted again without a second hold.
--
-- KEYS 1 quota (hash)  2 requests of the last minute (zset)  3 tokens, GCRA's TAT in µs (string)
--      4 open calls of the account (zset: request id -> deadline ms)  5 deadlines of the shard (zset)
--      6 this call's hold (hash)  7 the shard's usage stream  8... a counter for each budget (hash)
-- ARGV 1 request id  2 period start ms  3 period end ms  4 hold lasts ms  5 calls a period  6 spend limit nano
--      7 requests a minute  8 tokens a minute  9 calls at once  10 nano to hold  11 tokens to hold
--      12 account  13 period  14 report of an abandoned call (JSON)  15 longest usage stream
--      16... limit of each budget, nano; and where it is a quote, not a call: its terms (JSON), when it ends at the
--      latest (ms), the account's quotes (a zset in the same slot: quote id -> deadline ms), the most of them at once
-- A limit of -1 means none: a budget with it only counts. All time is the server's.
-- Answers {"OK", state} or {"NO", limit's name, its budget's number from 1 or 0, limit, used, ms until it may
--      pass, state}, where state is now ms, calls, nano, requests this minute, tokens free, open, nano that the
--      tightest budget has left (-1 without one); or
--      {"MISS", numbers of the counters that are not there: 0 the quota, 1... the budgets} (rebuild them first)
--      or {"PERIOD", now ms} (the clock moved on).
local n = {}
for i = 2, #ARGV do n[i] = tonumber(ARGV[i]) end
local function int(x) return string.format('%.0f', x) end -- where a text is made of it; commands take numbers
local t = redis.call('TIME')
local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local now = math.floor(now_us / 1000)

if now < n[2] or now >= n[3] then return {'PERIOD', now} end
local missing, budgets, spent = {'MISS'}, #KEYS - 7, {}
local q = redis.call('HMGET', KEYS[1], 'seeded', 'calls', 'held_calls', 'nano', 'held_nano')
if not q[1] then missing[2] = 0 end
for i = 1, budgets do
  local b = redis.call('HMGET', KEYS[7 + i], 'seeded', 'nano', 'held_nano')
  if not b[1] then missing[#missing + 1] = i end
  spent[i] = tonumber(b[2] or '0') + tonumber(b[3] or '0')
end
if #missing > 1 then return missing end
local calls = tonumber(q[2] or '0') + tonumber(q[3] or '0')
local nano = tonumber(q[4] or '0') + tonumber(q[5] or '0')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. int(now_us - 60000000))
local minute = redis.call('ZCARD', KEYS[2])
local tat = math.max(tonumber(redis.call('GET', KEYS[3]) or '0'), now_us)
local open = redis.call('ZCOUNT', KEYS[4], '(' .. int(now), '+inf')
local tpm = n[8]
-- A clock that stepped back must not lock the account out for longer than a minute.
if tat > now_us + 60000000 then tat = now_us + 60000000 end
local function tokens_free(at)
  if tpm < 0 then return -1 end
  return math.floor((now_us + 60000000 - at) * tpm / 60000000)
end
local function room()
  local least = -1
  for i = 1, budgets do
    local left = math.max(n[15 + i] - spent[i], 0)
    if n[15 + i] >= 0 and (least < 0 or left < least) then least = left end
  end
  return int(least)
end
local function ok() return {'OK', now, calls, int(nano), minute, tokens_free(tat), open, room()} end
local function no(name, budget, limit, used, wait)
  return {'NO', name, budget, limit, used, wait, now, calls, int(nano), minute, tokens_free(tat), open, room()}
end

if redis.call('HGET', KEYS[6], 'state') then return ok() end
-- Lasting limits first: who is out of calls should hear that, not "slow down".
if n[5] >= 0 and calls + 1 > n[5] then return no('calls', 0, n[5], calls, int(n[3] - now)) end
if n[6] >= 0 and nano + n[10] > n[6] then return no('spend', 0, ARGV[6], int(nano), int(n[3] - now)) end
for i = 1, budgets do
  local limit = n[15 + i]
  if limit >= 0 and spent[i] + n[10] > limit then return no('budget', i, ARGV[15 + i], int(spent[i]), 0) end
end
if n[15] >= 0 and redis.call('XLEN', KEYS[7]) > n[15] then return no('backlog', 0, n[15], n[15], 5000) end
if n[7] >= 0 and minute + 1 > n[7] then
  local oldest = redis.call('ZRANGE', KEYS[2], minute - n[7], minute - n[7], 'WITHSCORES')
  local wait = n[7] == 0 and 60000000 or tonumber(oldest[2]) + 60000000 - now_us
  return no('requests', 0, n[7], minute, math.ceil(wait / 1000))
end
local tat_after = tat
if tpm >= 0 then
  tat_after = tpm == 0 and math.huge or tat + math.ceil(n[11] * 60000000 / tpm)
  if tat_after > now_us + 60000000 then
    local wait = math.min(tat_after - now_us - 60000000, 60000000)
    return no('tokens', 0, tpm, tpm - tokens_free(tat), math.ceil(wait / 1000))
  end
end
if n[9] >= 0 and open + 1 > n[9] then return no('concurrency', 0, n[9], open, 1000) end
local terms, deadline = ARGV[16 + budgets], now + n[4]
if terms then
  local alive = redis.call('ZRANGE', ARGV[18 + budgets], '(' .. int(now), '+inf', 'BYSCORE', 'WITHSCORES')
  if #alive / 2 >= n[19 + budgets] then
    return no('quotes', 0, n[19 + budgets], #alive / 2, math.ceil(tonumber(alive[2]) - now))
  end
  -- A quote ends with the period and with the budgets' windows that it is held in, and so its call belongs to them too.
  deadline = math.min(deadline, n[3], n[17 + budgets])
end

-- Admitted. Everything that could fail is behind us; from here on only writes.
local held_calls, held_nano = tonumber(q[3] or '0') + 1, tonumber(q[5] or '0') + n[10]
if math.abs(held_nano) < 2^53 then
  redis.call('HSET', KEYS[1], 'held_calls', held_calls, 'held_nano', held_nano)
else -- past what a number of Lua holds exactly
  redis.call('HINCRBY', KEYS[1], 'held_calls', 1)
  redis.call('HINCRBY', KEYS[1], 'held_nano', ARGV[10])
end
for i = 1, budgets do
  redis.call('HINCRBY', KEYS[7 + i], 'held_nano', ARGV[10])
  spent[i] = spent[i] + n[10]
end
if n[7] >= 0 then
  redis.call('ZADD', KEYS[2], now_us, ARGV[1])
  if redis.call('PTTL', KEYS[2]) < 61000 then redis.call('PEXPIRE', KEYS[2], 180000) end -- written now and then
end
if tpm >= 0 then redis.call('SET', KEYS[3], tat_after, 'PX', 61000) end
redis.call('ZADD', KEYS[4], deadline, ARGV[1])
redis.call('ZADD', KEYS[5], deadline, ARGV[1])
redis.call('HSET', KEYS[6], 'state', 'open', 'account', ARGV[12], 'period', ARGV[13], 'nano', ARGV[10],
           'tokens', ARGV[11], 'tpm', ARGV[8], 'at_us', now_us, 'report', ARGV[14],
           unpack(budgets > 0 and {'budgets', table.concat(KEYS, ' ', 8)} or {}))
if terms then
  redis.call('HSET', KEYS[6], 'terms', terms, 'until', int(deadline))
  redis.call('ZADD', ARGV[18 + budgets], int(deadline), ARGV[1])
end
calls, nano, minute, open, tat = calls + 1, nano + n[10], minute + 1, open + 1, tat_after
return ok()
