"""The `tiffin` command. Imports as little as it can: start-up time is part of the product."""
