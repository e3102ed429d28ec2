"""Bundles: Spaces with their images and caches, carried to another host."""
