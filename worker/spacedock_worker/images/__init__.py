"""From a Space to an image on this host: present, pulled, or built from the Space's repository."""
