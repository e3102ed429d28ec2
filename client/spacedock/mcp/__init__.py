"""The Spaces of the queue as an MCP server, for programs that use tools; needs the extra `mcp`."""
