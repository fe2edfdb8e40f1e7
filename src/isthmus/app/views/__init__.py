"""What there is to see at a site, read once for the console and the API alike: values without any layout."""
