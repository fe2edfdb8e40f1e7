"""The gallery's sites, wired: inner site, outer site with its sync server, device."""
