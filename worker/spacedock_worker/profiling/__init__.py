"""What was measured of Spaces on this host, kept in one file."""
