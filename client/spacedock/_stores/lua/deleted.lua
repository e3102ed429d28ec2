#!lua flags=allow-oom
-- The file that was claimed is deleted from the store.
if redis.call('HGET', KEYS[1], 'state') == 'gone' then redis.call('DEL', KEYS[1]) end
