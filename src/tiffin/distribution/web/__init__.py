"""The page for people: what is in the registry, to look at and to search."""
