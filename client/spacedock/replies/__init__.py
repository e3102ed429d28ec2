"""What workers answer, as JSON: `--json` prints it, Python's `Client` returns it, and HTTP sends it."""
