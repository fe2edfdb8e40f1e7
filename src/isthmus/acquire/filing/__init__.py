"""Checks images that came, finds out where and when they were taken, names them uniformly and keeps them."""
