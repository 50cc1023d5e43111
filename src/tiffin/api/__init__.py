"""The Engine API's wire types and version gates. No I/O."""
