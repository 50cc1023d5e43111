"""Files done safely: atomic writes, paths that stay inside a root, tar streams, locks."""
