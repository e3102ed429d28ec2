"""What a client may ask besides jobs: one module for each operation."""
