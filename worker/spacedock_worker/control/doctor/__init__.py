"""What `spacedock doctor` finds out on this host: its engine, what it reaches, its models and its limits."""
