"""What this host remembers between starts."""
