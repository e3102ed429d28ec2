"""Spacedock's own API over HTTP."""
