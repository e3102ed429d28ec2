"""Collections of Spaces: written for others to have, and taken in from strangers."""
