--- What is loaded in this VM. Written by `moongate.plugins`, read by everybody.
return {
    -- name -> plugin table
    loaded = {},
    -- plugin tables by descending priority
    list = {},
    -- name -> place in `list`
    rank = {},
}
