"""Route modules, one per noun: a literal route list, short handlers, a narrow backend protocol."""
