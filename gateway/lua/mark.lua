-- Notes on an Idempotency-Key that its call has been answered and is about to be charged, or gives the key back.
-- Nothing happens if the key is another call's by now. Safe to repeat.
-- KEYS 1 mark (hash)     ARGV 1 request id  2 "answered" or "free"
if redis.call('HGET', KEYS[1], 'rid') ~= ARGV[1] then return 0 end
if ARGV[2] == 'free' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
return 1
