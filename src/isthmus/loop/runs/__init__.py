"""Runs of a pipeline: what sets them off, the ledger of their states, and the steps from a list to a release."""
