"""Where the files of jobs are: in the queue's Redis, in a folder, or in a bucket (docs/decisions/0034)."""
