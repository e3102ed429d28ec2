"""Running Spaces: the engine, hardened containers, readiness, the warm pool and reaping."""
