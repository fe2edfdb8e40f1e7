"""Isthmus moves machine-vision data across networks that are kept apart, and closes the loop over it."""

__version__ = "0.1.0"
