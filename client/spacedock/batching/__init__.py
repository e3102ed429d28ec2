"""What a batch is read from, and how it is carried out."""
