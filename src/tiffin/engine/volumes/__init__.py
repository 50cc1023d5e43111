"""Use-cases of volumes: created, listed, used by containers, filled, removed, pruned."""
