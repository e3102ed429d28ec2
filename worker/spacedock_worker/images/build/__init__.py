"""Building an image from a Space's repository."""
