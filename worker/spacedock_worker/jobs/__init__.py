"""One job's way: its plan, its chain of steps, and its result."""
