"""Use-cases of what was removed: list it, bring it back, destroy it."""
