-- Every key once:  wrk -t1 -s fill.lua URL -- KEYS   (then it stays with the last one)
local at, keys = 0, 0

function init(args)
	keys = tonumber(args[1])
end

function request()
	if at < keys then at = at + 1 end
	return wrk.format("GET", "/k/" .. at)
end
