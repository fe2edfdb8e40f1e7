"""Keeps galleries of reference images equal, from an inner network to devices."""
