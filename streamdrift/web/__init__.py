"""HTTP: the API, metrics and health."""
