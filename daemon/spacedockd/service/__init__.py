"""Spacedock as a service of systemd: its units, put in place, renewed and taken away."""
