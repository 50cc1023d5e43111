"""Use-cases, one package or module per noun. Async; blocking work goes through `to_thread`."""
