"""What a person or a program sees: the command line."""
