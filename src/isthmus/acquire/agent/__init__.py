"""The agent: one process in each network environment, with outbound connections only."""
