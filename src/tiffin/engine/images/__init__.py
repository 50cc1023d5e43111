"""Images as use-cases: pull, push, load, save, list, inspect, tag, remove, prune."""
