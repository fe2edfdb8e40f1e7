"""Closed-loop evaluation: policies drive the ego through scenes, and each drive becomes an Episode."""
