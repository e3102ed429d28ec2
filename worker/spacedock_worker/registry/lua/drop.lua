#!lua flags=allow-oom
-- include put
