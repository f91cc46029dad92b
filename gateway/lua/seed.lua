#!lua
-- Starts a counter that the meter lacks: what the ledger says, and what of it is still on its way there.
-- A budget may be set while calls run, so calls that are open now join its counter, as if they had always been in it.
--
-- The caller read the stream up to an entry, and the ledger without the calls of those entries. What came since
-- is added here, in the same step as the start, unless the ledger's writer may have seen it too: then MOVED.
--
-- KEYS 1 counter (hash)  2 usage stream  3 open calls of the account (zset)  4 epoch of the shard (string)
--      5 for a period: the counter of the one before, whose tokens a minute go on here
-- ARGV 1 account  2 calls and 3 nano so far  4 expires at ms  5 entry read last  6 consumer group of the ledger's
--      writer  7 the shard's key prefix  8 period that is counted, or "" for a budget's counter, which counts
--      9 calls begun from, ms, 10 until, ms, and 11 with these keys (JSON list), or "" for all keys
--      12 the epoch that the caller knows, "" for any: ADR 0019
-- Answers "SEEDED", "KNOWN" (somebody did so before: nothing moved) "MOVED" (read again),
-- or "STALE" (the meter is another than the caller believes, or has lost its data).
if ARGV[12] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[12] then return 'STALE' end
if redis.call('HEXISTS', KEYS[1], 'seeded') == 1 then return 'KNOWN' end
local is_budget = ARGV[8] == ''
local only = ARGV[11] ~= '' and {}
if only then for _, key in ipairs(cjson.decode(ARGV[11])) do only[key] = true end end

-- "1795532400000-3" and its like, in order.
local function parts(id) return tonumber(string.match(id, '^%d+')), tonumber(string.match(id, '%d+$')) end
local function after(a, b)
  local a_ms, a_number = parts(a)
  local b_ms, b_number = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_number > b_number)
end
local function counts(text)
  local sound, report = pcall(cjson.decode, text)
  if not sound or type(report) ~= 'table' or report.account ~= ARGV[1] then return nil end
  if not is_budget then return report.period == ARGV[8] and report or nil end
  -- A version-7 id begins with the milliseconds at which its call began.
  local rid = tostring(report.rid)
  local began = tonumber(string.sub(rid, 1, 8) .. string.sub(rid, 10, 13), 16)
  if not began or began < tonumber(ARGV[9]) or began >= tonumber(ARGV[10]) then return nil end
  return (not only or only[tostring(report.key)]) and report or nil
end

if redis.call('EXISTS', KEYS[2]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    if facts['name'] == ARGV[6] and after(facts['last-delivered-id'], ARGV[5]) then return 'MOVED' end
  end
end
local calls, nano, held_calls, held_nano = tonumber(ARGV[2]), tonumber(ARGV[3]), 0, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[5], '+')) do
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local report = counts(fields['report'] or '')
  local status = report and tonumber(report.status) or 0
  if report and fields['kind'] ~= 'abandoned' then
    nano = nano + (tonumber(report.nano) or 0)
    if status >= 200 and status < 300 then calls = calls + 1 end
  end
end
for _, rid in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local key = ARGV[7] .. 'held:' .. rid
  local hold = redis.call('GET', key) or ''
  local state = string.sub(hold, 1, 4)
  if state == 'open' or state == 'quot' then
    local its_nano, tokens, tpm, begun_us, counters, report_at = struct.unpack('<ddddHc0', hold, 5)
    local report = string.sub(hold, report_at)
    if counts(report) then
      held_calls, held_nano = held_calls + 1, held_nano + its_nano
      if is_budget and not string.find(counters, KEYS[1], 1, true) then
        counters = counters .. ' ' .. KEYS[1]
        local numbers = struct.pack('<ddddHc0', its_nano, tokens, tpm, begun_us, #counters, counters)
        redis.call('SET', key, state .. numbers .. report)
        if state == 'quot' then redis.call('HSET', ARGV[7] .. 'quote:' .. rid, 'counters', counters) end
      end
    end
  end
end
if not is_budget then
  redis.call('HSETNX', KEYS[1], 'tat', redis.call('HGET', KEYS[5], 'tat') or 0)
  if redis.call('EXISTS', KEYS[5]) == 1 then redis.call('HSET', KEYS[5], 'next', KEYS[1]) end
end
local function int(x) return string.format('%.0f', x) end
redis.call('HSET', KEYS[1], 'seeded', 1, 'calls', int(calls), 'nano', int(nano),
           'held_calls', int(held_calls), 'held_nano', int(held_nano))
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 'SEEDED'
