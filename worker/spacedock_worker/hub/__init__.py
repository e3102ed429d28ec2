"""What the Hub tells of its Spaces: searching it, remembering it, and making entries of it."""
