"""Benchmarks: figures with their peers in the same run."""
