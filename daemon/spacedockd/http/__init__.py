"""The door for other software: HTTP to the queue, beside the daemon's other children."""
