"""The commands of `spacedock`, one module each."""
