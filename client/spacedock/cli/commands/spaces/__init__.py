"""The commands of `spacedock spaces`."""
