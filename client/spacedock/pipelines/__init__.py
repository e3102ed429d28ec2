"""Pipelines: Spaces as the steps of a larger task, from a YAML file or from Python."""
