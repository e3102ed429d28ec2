"""What the command line prints: text, tables, progress and answers."""
