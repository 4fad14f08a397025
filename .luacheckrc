-- Rules for lua/, plugins/ and t/. Run as: luacheck lua plugins
std = "luajit"
max_line_length = 100
max_code_line_length = 100
max_string_line_length = 100
max_comment_line_length = 100

-- `ngx` is a global because plugins written for APISIX expect it; these are the
-- parts of it that a plugin may assign.
read_globals = {
    "ndk",
    ngx = {
        other_fields = true,
        fields = {
            status = { read_only = false },
            arg = { read_only = false, other_fields = true },
            ctx = { read_only = false, other_fields = true },
            header = { read_only = false, other_fields = true },
            var = { read_only = false, other_fields = true },
        },
    },
}

-- The first module of a VM puts the functions in place that stand in for Lua's own.
files["lua/moongate/api/thread.lua"] = {
    globals = { coroutine = { fields = { "status" }, other_fields = true } },
}
files["lua/moongate/boot.lua"] = {
    globals = { "pcall", "xpcall", "print", coroutine = { fields = { "resume", "wrap" }, other_fields = true } },
}

-- Cases try what does not exist, and what should not be done.
files["t/compat/cases"] = {
    globals = { "ngx" },
    ignore = { "113", "122", "143", "631" },
}

-- A file of cases is called with `case`.
files["t/compat/libraries"] = {
    globals = { "ngx", "case", "lib", "ports", "side" },
    -- A call and what it must answer belong on one line.
    max_line_length = false,
    max_code_line_length = false,
    max_string_line_length = false,
}

-- Phase functions and callbacks have fixed signatures: unused arguments are normal.
unused_args = false
