"""From a Space to an image on this host: pulled where there is one, else built from its repository."""
