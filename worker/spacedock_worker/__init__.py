"""Spacedock's worker: runs jobs in the containers of Spaces and on local models."""
