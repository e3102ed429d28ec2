"""What this host has: memory, processors, GPUs, and room for containers."""
