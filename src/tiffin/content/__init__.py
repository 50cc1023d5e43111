"""Blobs by digest: the contract in `store.py`, one implementation per file."""
