"""Wire types of the Engine API, one module per noun."""
