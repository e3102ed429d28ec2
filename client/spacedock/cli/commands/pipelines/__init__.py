"""`spacedock pipeline …`, and how pipelines and their runs are drawn."""
