"""How the service stands, for whoever watches it: health, readiness, and metrics for Prometheus."""
