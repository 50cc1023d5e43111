"""The verbs of one noun, one module each."""
