-- wrk: POST /v1/keys with a new name each time, by the operator's key $KEY, for the tenant $TENANT.
local n = 0
local head = { ["Authorization"] = "Bearer " .. os.getenv("KEY"), ["Content-Type"] = "application/json" }
local tail = '","tenant":"' .. os.getenv("TENANT") .. '","scopes":["contacts:read"],"expires_at":null}'
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/keys", head, '{"name":"key ' .. n .. tail)
end
done = function(summary, latency, requests)
  io.write(string.format("RATE %.0f P50 %d P99 %d ERRORS %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
