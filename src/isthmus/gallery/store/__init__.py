"""Keeps a set of galleries: documents in a database, images as files by their digest."""
