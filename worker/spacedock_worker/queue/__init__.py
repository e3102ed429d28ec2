"""Claiming jobs from Redis and writing their results; the only importer of arq."""
