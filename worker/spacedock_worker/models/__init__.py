"""Language models over OpenAI-compatible endpoints: Tier 1 and the system default."""
