"""One site: its configuration, how its parts are wired, how its operations run."""
