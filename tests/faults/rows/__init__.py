"""One module for each row of docs/reliability.md; each has a `ROW`, and is found by that."""
