"""The command line: every operation of a site, one line for an error, progress on the error stream."""
