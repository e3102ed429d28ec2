"""What a batch came to: its results file, what is known of it, and where files are saved."""
