"""Looking after what a host keeps: cleaning up, locking, bundling, and saying what is there."""
