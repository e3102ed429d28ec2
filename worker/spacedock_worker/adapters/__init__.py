"""Speaking to a running app: choosing its endpoint, mapping prompt and files onto it, reading its answer."""
