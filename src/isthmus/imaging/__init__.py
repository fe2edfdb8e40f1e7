"""Looks at images that may be hostile: decoding within limits, fingerprints, vectors."""
