"""OpenAI's API over HTTP: its requests are jobs of ours."""
