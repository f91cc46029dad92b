#!lua
-- Takes an Idempotency-Key for a call, or says what became of the call that has it. A call is looked up by its hold.
-- Safe to repeat: the call that has the key already is told NEW again.
--
-- KEYS 1 mark (hash: rid, print, state open | answered, until ms, stream)
-- ARGV 1 request id  2 fingerprint of the request  3 a claim lasts ms without a hold  4 the mark lasts ms
--      5 the shard's key prefix  6 "1" for a stream
-- Answers {"NEW"}, {"OTHER", rid} (the key was used for another request), {"BUSY", rid} (it runs), or
--      {"DONE", rid, stream} (it is charged, or will be).
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local mark = redis.call('HMGET', KEYS[1], 'rid', 'print', 'state', 'until', 'stream')
local rid = mark[1]
if rid and rid ~= ARGV[1] then
  if mark[2] ~= ARGV[2] then return {'OTHER', rid} end
  local old = ARGV[5] .. 'held:' .. rid
  local hold = redis.call('GETRANGE', old, 0, 3)
  if hold == 'open' then return {'BUSY', rid} end
  if hold == 'done' or (mark[3] == 'answered' and hold == '') then return {'DONE', rid, mark[5]} end
  if hold == '' and now < tonumber(mark[4]) then return {'BUSY', rid} end
  -- It was swept, or never got as far as a hold. Should it wake up after all, it finds itself settled: no charge.
  redis.call('SET', old, 'done', 'PX', ARGV[4])
end
redis.call('HSET', KEYS[1], 'rid', ARGV[1], 'print', ARGV[2], 'state', 'open', 'stream', ARGV[6],
           'until', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'NEW'}
