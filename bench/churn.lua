-- SPDX-License-Identifier: MIT
-- Keys without end over bodies of mixed sizes, in phases: the mix changes every PHASE requests, which is what leaves an
-- allocator with holes of the wrong size.
--     wrk -s churn.lua URL -- SEED PHASE KEYS        (KEYS of each size class)
local mixes = {
	{ 60, 25, 10, 4, 1, 0 },  -- /100 /1k /10k /100k /1m /4m, in percent
	{ 98, 2, 0, 0, 0, 0 },
	{ 0, 5, 10, 60, 20, 5 },
	{ 20, 20, 20, 20, 18, 2 },
	{ 5, 90, 5, 0, 0, 0 },
	{ 0, 0, 0, 10, 50, 40 },
}
local names = { "100", "1k", "10k", "100k", "1m", "4m" }
local phase, keys, n = 0, 0, 0

function init(args)
	math.randomseed(tonumber(args[1]))
	phase, keys = tonumber(args[2]), tonumber(args[3])
end

local function class(mix)
	local at = math.random(100)
	for i, share in ipairs(mix) do
		at = at - share
		if at <= 0 then
			return i
		end
	end
	return 1
end

function request()
	local mix = mixes[math.floor(n / phase) % #mixes + 1]
	n = n + 1
	-- The square makes some keys hot.
	return wrk.format("GET", "/" .. names[class(mix)] .. "/" .. math.floor(math.random() ^ 2 * keys))
end
