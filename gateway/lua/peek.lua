-- Looks at every limit of an account, and changes nothing.
-- KEYS 1 quota (hash)  2 requests of the last minute (zset)  3 open calls (zset)
--      4... a counter for each budget (hash)          ARGV 1 tokens a minute, -1 without a limit
-- Answers {now ms, requests this minute, ms until the oldest of them leaves, tokens free, open,
--      then for the quota and each budget: 1 if it is there, calls, held calls, nano, held nano}.
local t = redis.call('TIME')
local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local function int(x) return string.format('%.0f', x) end
local since = '(' .. int(now_us - 60000000)
local oldest = redis.call('ZRANGE', KEYS[2], since, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]
local tpm = tonumber(ARGV[1])
local tat = math.min(math.max(tonumber(redis.call('HGET', KEYS[1], 'tat') or '0'), now_us), now_us + 60000000)
local answer = {
  math.floor(now_us / 1000),
  redis.call('ZCOUNT', KEYS[2], since, '+inf'),
  oldest and math.ceil((tonumber(oldest) + 60000000 - now_us) / 1000) or 0,
  tpm < 0 and -1 or math.floor((now_us + 60000000 - tat) * tpm / 60000000),
  redis.call('ZCOUNT', KEYS[3], '(' .. int(now_us / 1000), '+inf'),
}
for i = 0, #KEYS - 3 do
  local key = i == 0 and KEYS[1] or KEYS[3 + i]
  local found = redis.call('HMGET', key, 'seeded', 'calls', 'held_calls', 'nano', 'held_nano')
  for j = 1, 5 do answer[#answer + 1] = found[j] or '0' end
end
return answer
