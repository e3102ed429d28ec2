"""Whether a Space can run on this host, found out before it is pulled, or by trying it."""
