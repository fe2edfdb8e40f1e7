"""Who may do what at a site: people with passwords, keys of programs, sessions, and the record of every change."""
