-- wrk: POST /v1/providers/$PROVIDER/reveal, each time for another call, by the runtime key $KEY.
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
local n = 0
local target = "/v1/providers/" .. os.getenv("PROVIDER") .. "/reveal"
local head = { ["Authorization"] = "Bearer " .. os.getenv("KEY"), ["Content-Type"] = "application/json" }
request = function()
  n = n + 1
  return wrk.format("POST", target, head, '{"call_id":"' .. number .. "-" .. n .. '"}')
end
done = function(summary, latency, requests)
  io.write(string.format("RATE %.0f P50 %d P99 %d ERRORS %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
