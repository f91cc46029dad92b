-- Moves a living call's deadline on. A hold that was settled or swept stays as it is.
-- KEYS 1 hold (hash)  2 open calls (zset)  3 deadlines (zset)     ARGV 1 request id  2 hold lasts ms
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return 0 end
local t = redis.call('TIME')
local deadline = string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[2], 'XX', 'GT', deadline, ARGV[1])
redis.call('ZADD', KEYS[3], 'XX', 'GT', deadline, ARGV[1])
return 1
