"""Runs of pipelines: what becomes of one when a step of it has ended (docs/decisions/0044)."""
