"""Tables of simple fields and one complex field, the OLAP that follows them, and lists of ids."""
