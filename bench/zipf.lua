-- SPDX-License-Identifier: MIT
-- Keys by popularity: the k-th is asked for in proportion to k^-S. By the inverse of the continuous distribution, which
-- is exact enough beyond the first few keys; the requests are made before the clock starts.
--     wrk -s zipf.lua URL -- KEYS EXPONENT        (EXPONENT 0: every key alike)
local requests, at, n = {}, 0, 100000

function init(args)
	local keys, s = tonumber(args[1]), tonumber(args[2])
	local span = keys ^ (1 - s) - 1
	math.randomseed(1)
	for i = 1, n do
		local k = math.floor((math.random() * span + 1) ^ (1 / (1 - s)))
		requests[i] = wrk.format("GET", "/k/" .. k)
	end
end

function request()
	at = at % n + 1
	return requests[at]
end
