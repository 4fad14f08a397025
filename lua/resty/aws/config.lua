--- `resty.aws.config`: what the environment says of AWS.
-- @module resty.aws.config
local getenv = os.getenv

local env = {
    AWS_REGION = getenv("AWS_REGION") or getenv("AWS_DEFAULT_REGION"),
    AWS_ACCESS_KEY_ID = getenv("AWS_ACCESS_KEY_ID"),
    AWS_SECRET_ACCESS_KEY = getenv("AWS_SECRET_ACCESS_KEY"),
    AWS_SESSION_TOKEN = getenv("AWS_SESSION_TOKEN"),
}

local _M = { global = { region = env.AWS_REGION }, env = env }


--- The region of the environment.
function _M.get_config()
    return { region = env.AWS_REGION }
end


return _M
