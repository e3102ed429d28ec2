"""What `spacedock batch` reads, plans, remembers and shows."""
