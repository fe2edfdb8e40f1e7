"""The site's one server: the console, the API, and what both need."""
