-- Asks Keystile about the request under way: HAProxy has no sub-request of its own. haproxy.cfg acts on what this sets:
-- txn.keystile_status (0: no answer), _body, _challenge, _retry, _rate, _rate_policy; and on 200 the identity headers.
local service = "http://127.0.0.1:5397/v1/authorize"
local timeout_ms = 2000

-- What may carry a credential: with the setting credentials.headers, its names too, in lower case.
local passed = {"authorization", "x-api-key", "x-tenant-id", "x-request-id", "traceparent"}

local identity = {"Principal", "Kind", "Tenant", "Organization", "Visible", "Inherited", "Scopes", "Environment", "Family"}

core.register_action("keystile", {"http-req"}, function(txn)
	local sent = txn.http:req_get_headers()
	local headers = {
		["X-Forwarded-Method"] = {txn.sf:method()},
		["X-Forwarded-Uri"] = {txn.sf:pathq()},
		["X-Forwarded-For"] = {txn.sf:src()},
	}
	-- All values of each, so that what was sent twice is refused.
	local function pass(name, as)
		if not sent[name] then
			return
		end
		headers[as] = {}
		for i = 0, #sent[name] do
			table.insert(headers[as], sent[name][i])
		end
	end
	for _, name in ipairs(passed) do
		pass(name, name)
	end
	pass("host", "X-Forwarded-Host")

	local answer = core.httpclient():get{url = service, headers = headers, timeout = timeout_ms}
	if not answer then
		txn:set_var("txn.keystile_status", 0)
		return
	end
	local function header(name)
		local values = answer.headers and answer.headers[name]
		return values and values[0]
	end
	local function keep(variable, value)
		if value then
			txn:set_var("txn.keystile_" .. variable, value)
		end
	end
	txn:set_var("txn.keystile_status", answer.status or 0)
	keep("body", answer.body)
	keep("challenge", header("www-authenticate"))
	keep("retry", header("retry-after"))
	keep("rate", header("ratelimit"))
	keep("rate_policy", header("ratelimit-policy"))
	if answer.status == 200 then
		for _, name in ipairs(identity) do
			txn.http:req_set_header("X-Keystile-" .. name, header("x-keystile-" .. name:lower()) or "")
		end
		txn.http:req_set_header("X-Request-Id", header("x-request-id") or "")
	end
end, 0)
