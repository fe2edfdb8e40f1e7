"""Recovery, wired: the two sites of a pair, their roads and their rounds."""
