-- What wrk sends: one chat completion, again and again, on every connection.
-- It counts answers by status class, and it stops cleanly: past BENCH_SECONDS a connection is given nothing
-- more to send, so every call that was sent is also answered and counted. Killing calls in flight, as wrk
-- does by itself, would make the number of usage events a matter of luck.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_clock;
  int clock_gettime(int clock, bench_clock *now);
]]
local clock = ffi.new("bench_clock")
local function now()
  ffi.C.clock_gettime(1, clock) -- 1 is CLOCK_MONOTONIC
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) * 1e-9
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

local seconds = tonumber(os.getenv("BENCH_SECONDS"))
local call
function init()
  local headers = {
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY"),
    ["Content-Type"] = "application/json",
  }
  for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:]+): ([^\n]+)\n") do headers[name] = value end
  call = wrk.format("POST", wrk.path, headers, os.getenv("BENCH_BODY"))
end

-- Globals, not locals: done() reads them with thread:get().
ok, refused, sent, started, ended = 0, 0, -1, 0, 0 -- wrk asks for one request that it does not send
statuses = ""

function request()
  if sent < 0 then
    sent = 0
    return call
  end
  if sent == 0 then started = now() end
  if now() - started >= seconds then return "" end
  sent = sent + 1
  return call
end

function response(status, headers, body)
  ended = now()
  if status >= 200 and status < 300 then
    ok = ok + 1
  else
    refused = refused + 1
    if #statuses < 60 then statuses = statuses .. status .. " " end
  end
end

function done(summary, latency)
  local thread, errors = threads[1], summary.errors
  io.write(string.format(
    '\nBENCH {"ok":%d,"refused":%d,"sent":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,' ..
    '"socket_errors":%d,"statuses":"%s"}\n',
    thread:get("ok"), thread:get("refused"), thread:get("sent"), thread:get("ended") - thread:get("started"),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.timeout, thread:get("statuses")))
end
