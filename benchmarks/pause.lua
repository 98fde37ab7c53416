-- Milliseconds between the requests of a connection: wrk has no rate of its own.
local pause = 0

function init(arguments)
    pause = tonumber(arguments[1])
end

function delay()
    return pause
end
