"""Long work: operations of the command line, run beside the server, with progress, files and an end."""
