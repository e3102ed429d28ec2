"""The status page: its files, and how a browser is let in."""
