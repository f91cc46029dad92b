-- Ends holds whose deadline passed: their process died. Each is recorded as abandoned, at no charge; but of a quote that
-- nobody redeemed there is no record, since there was no call.
-- Safe to repeat and to run from many places at once.
--
-- KEYS 1 accounts of the shard by when to look at them (zset)  2 usage stream
-- ARGV 1 most to end at once  2 the shard's key prefix
-- Answers the ids of the calls and quotes that were ended. The other keys it touches carry the same hash tag.
local call, tag, most = redis.call, ARGV[2], tonumber(ARGV[1])
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function give_back(counter, calls, nano)
  if call('HEXISTS', counter, 'seeded') == 0 then return end
  if calls > 0 then call('HINCRBY', counter, 'held_calls', 0 - calls) end
  call('HINCRBY', counter, 'held_nano', 0 - nano)
end
local function end_hold(account, id)
  local key = tag .. 'held:' .. id
  local hold = call('GET', key) or ''
  local state = string.sub(hold, 1, 4)
  if state ~= 'open' and state ~= 'quot' then return end
  local nano, _, _, _, counters, report_at = struct.unpack('<ddddHc0', hold, 5)
  local calls = 1 -- the first counter is the period's, which counts calls too
  for counter in string.gmatch(counters, '%S+') do
    give_back(counter, calls, nano)
    calls = 0
  end
  if state == 'quot' then
    call('ZREM', tag .. 'quotes:' .. account, id)
    call('HSET', tag .. 'quote:' .. id, 'state', 'expired')
    call('EXPIRE', tag .. 'quote:' .. id, 86400)
    call('DEL', key)
  else
    call('XADD', KEYS[2], '*', 'kind', 'abandoned', 'report', string.sub(hold, report_at))
    -- A settlement that comes after this must still find the counters that it belongs to.
    call('SET', key, 'void' .. struct.pack('<ddddHc0', 0, 0, -1, 0, #counters, counters), 'EX', 86400)
  end
end

local ended = {}
for _, account in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)) do
  local open = tag .. 'open:' .. account
  for _, id in ipairs(call('ZRANGEBYSCORE', open, '-inf', now, 'LIMIT', 0, most - #ended)) do
    end_hold(account, id)
    call('ZREM', open, id)
    ended[#ended + 1] = id
  end
  local first = call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
  if first then call('ZADD', KEYS[1], first, account) else call('ZREM', KEYS[1], account) end
end
return ended
