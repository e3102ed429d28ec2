"""What a batch is read from: JSON, tables, texts and directories."""
