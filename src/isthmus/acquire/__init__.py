"""Gets images, asynchronously, from storage servers that live in different network environments."""
