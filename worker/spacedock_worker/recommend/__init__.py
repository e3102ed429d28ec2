"""Which Spaces suit a task: reading tasks and Spaces by one table, and ranking them."""
