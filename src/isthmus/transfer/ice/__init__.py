"""Channels over ICE: two ends that find each other through NATs and speak over a DTLS data channel."""
