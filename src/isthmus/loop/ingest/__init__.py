"""Brings one day of one source into the warehouse and the OLAP: replaced as a whole, resumed after a kill."""
