"""Container networks: the contracts in `driver.py` and `ipam.py`, one implementation per file."""
