"""Where a registry keeps its objects: the contract in `driver.py`, and who fulfils it."""
