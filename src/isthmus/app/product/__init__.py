"""A site as one product: what its TOML asks to run, what keeps it running, how it stands, and what is wrong."""
