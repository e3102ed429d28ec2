"""Private: what the client and the workers say to each other in Redis, and how they reach it."""
