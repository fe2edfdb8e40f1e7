"""The interface server's doors: for clients, for agents, for the page."""
