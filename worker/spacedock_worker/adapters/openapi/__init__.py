"""Apps with a JSON API: described by OpenAPI, or called by a template of the registry."""
