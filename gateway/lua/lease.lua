#!lua
-- Grants a process an allowance for an account, to live on should the meter go away; or takes it back where it does not
-- fit into the limits any more. It stands beside the counters: calls are admitted as if there were no leases.
--
-- KEYS 1 quota (hash)  2 leases of the account (hash: process -> "calls nano expires-ms")  3... budgets (hashes)
-- ARGV 1 process  2 calls  3 nano  4 lasts ms  5 calls a period  6 spend limit nano
--      7... limit of each budget, nano. A limit of -1 means none
-- Answers 1 granted, 0 not. Repeated, it is the same lease for longer.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local calls, nano = tonumber(ARGV[2]), tonumber(ARGV[3])
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  local c, n, expires = string.match(leases[i + 1], '(%d+) (%d+) (%d+)')
  if tonumber(expires) <= now then
    redis.call('HDEL', KEYS[2], leases[i])
  elseif leases[i] ~= ARGV[1] then
    calls, nano = calls + tonumber(c), nano + tonumber(n)
  end
end
local function fits(key, limit_calls, limit_nano)
  local q = redis.call('HMGET', key, 'seeded', 'calls', 'held_calls', 'nano', 'held_nano')
  local function n(x) return tonumber(x or '0') end
  return q[1] and (limit_calls < 0 or n(q[2]) + n(q[3]) + calls <= limit_calls)
    and (limit_nano < 0 or n(q[4]) + n(q[5]) + nano <= limit_nano)
end
local granted = fits(KEYS[1], tonumber(ARGV[5]), tonumber(ARGV[6]))
for i = 3, #KEYS do granted = granted and fits(KEYS[i], -1, tonumber(ARGV[4 + i])) end
if not granted then
  redis.call('HDEL', KEYS[2], ARGV[1])
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%s %s %.0f', ARGV[2], ARGV[3], now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
