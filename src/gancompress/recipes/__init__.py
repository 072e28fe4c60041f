"""Complete jobs by name, as data."""
