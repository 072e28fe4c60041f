"""Complete jobs by name, stored as data."""
