-- wrk: POST to $SOURCE, a body of 1 KiB signed with $SIGNATURE, by GitHub's scheme, with a delivery of its own each time.
local n = 0
local body = string.rep("x", 1024)
local prefix = tostring({}):sub(8) .. "-" .. os.time() .. "-"
local head = { ["Content-Type"] = "application/json", ["X-Hub-Signature-256"] = os.getenv("SIGNATURE"), ["X-GitHub-Event"] = "push",
  ["User-Agent"] = "GitHub-Hookshot/0123456" }
request = function()
  n = n + 1
  head["X-GitHub-Delivery"] = prefix .. n
  return wrk.format("POST", nil, head, body)
end
done = function(summary, latency, requests)
  io.write(string.format("RATE %.0f P50 %d P99 %d ERRORS %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
