"""The console: pages drawn on the server, with what they load shipped beside them."""
