"""The pull-through cache: a registry that fetches from another one what it lacks."""
