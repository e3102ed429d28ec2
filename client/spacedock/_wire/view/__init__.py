"""What is seen of the queue: jobs, batches, and how they stand."""
