-- Removes entries whose rows are committed from the usage stream: acknowledged and deleted in one step.
-- Safe to repeat.
--
-- KEYS 1 usage stream        ARGV 1 consumer group  2... ids of entries
local ids = {unpack(ARGV, 2)}
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return redis.call('XDEL', KEYS[1], unpack(ids))
