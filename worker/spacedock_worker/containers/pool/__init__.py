"""Who gets which container: slots, leases, starts and idle containers."""
