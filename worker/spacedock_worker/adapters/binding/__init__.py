"""Binding a prompt and files to an endpoint's parameters."""
