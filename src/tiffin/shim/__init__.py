"""The supervisor of one container; it outlives the daemon. Standard library only."""
