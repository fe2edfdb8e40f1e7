"""Acquiring, wired: the interface server and its keeping, agents, keys and credentials."""
