"""Carries bundles across boundaries: packed, signed, verified, applied in order."""
