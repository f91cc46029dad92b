#!lua
-- Declares a shard's counters sound, unless somebody else did so meanwhile.
-- KEYS 1 epoch (string)     ARGV 1 what the caller saw there ("" for nothing)  2 the new epoch
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
