#!lua flags=allow-oom
need('SUBSCRIBE', DONE)
need('HMGET', JOB .. '0', 'result')
need('HSTRLEN', JOB .. '0', 'result')
return 1
