"""What happens to jobs when things fail: each row is one kind of fault, and `make faults` measures it."""
