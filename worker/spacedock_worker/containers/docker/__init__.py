"""The Docker Engine's API: containers, networks, volumes, streams."""
