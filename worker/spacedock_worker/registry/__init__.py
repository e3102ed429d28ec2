"""The Spaces that this host knows: registry.yaml and its categories."""
