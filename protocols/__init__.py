"""Wire protocols as a library: bytes to values and back, sessions as tables. Knows nothing of the gateway.

A folder for each protocol; no folder imports another. What they share is here: `lines` and `text` (octets to
lines and characters), `strangers` (who is wrong on a port), `errors`, `events` (what a session has its
transport do), `client`, `server` and, for slow lines, `timed` (transport and time limits on Twisted), `told`
and `wire` (Twisted's words and types).
"""
