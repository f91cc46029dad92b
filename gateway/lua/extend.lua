-- Moves a living call's deadline on. A hold that was settled or swept stays as it is. That the sweep will look at the
-- account sooner than it has to does no harm.
-- KEYS 1 hold (string)  2 open calls (zset)     ARGV 1 request id  2 hold lasts ms
if redis.call('GETRANGE', KEYS[1], 0, 3) ~= 'open' then return 0 end
local t = redis.call('TIME')
local deadline = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
redis.call('ZADD', KEYS[2], 'XX', 'GT', deadline, ARGV[1])
return 1
