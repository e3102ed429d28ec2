"""Spacedock's thin client: submit prompts and files, get answers from Spaces on your own machines."""
