#!lua flags=allow-oom
-- include push
