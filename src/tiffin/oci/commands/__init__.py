"""One module per command: its flags and what it does (man 8 runc-<command>)."""
