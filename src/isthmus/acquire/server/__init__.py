"""The interface server without its HTTP: intake, claims, deliveries, push, keys, metrics."""
