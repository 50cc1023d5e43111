"""Use-cases of the builder: build, prune, cancel."""
