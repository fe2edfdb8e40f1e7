"""Releases: a model's states, the registry that keeps them, and the folder that a released model is."""
