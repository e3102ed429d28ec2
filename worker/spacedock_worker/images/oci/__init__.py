"""Asking image registries: references, manifests and credentials."""
