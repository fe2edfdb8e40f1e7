"""MongoDB's oplog: its entries read from files and servers, and applied to collections of documents."""
