-- wrk: GET of the URL given, with a token of the file $TOKENS at random, as nginx's auth_request would ask.
local tokens = {}
for line in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = line end
math.randomseed(1)
request = function()
  return wrk.format("GET", nil, {
    ["Authorization"] = "Bearer " .. tokens[math.random(#tokens)],
    ["X-Original-Method"] = "GET",
    ["X-Original-URI"] = "/api/v1/contacts/42",
  })
end
done = function(summary, latency, requests)
  io.write(string.format("RATE %.0f P50 %d P99 %d ERRORS %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
