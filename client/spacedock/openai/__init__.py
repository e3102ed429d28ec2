"""OpenAI's and Anthropic's shapes: their requests become ours, and our results become theirs (pure)."""
