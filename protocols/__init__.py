"""Wire protocols as a library: bytes to values and back, sessions as tables. Knows nothing of the gateway."""
