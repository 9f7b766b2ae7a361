"""Translators between one protocol and the gateway; every module here is one, but those of ``SHARED``."""

SHARED = frozenset({"base", "discreet", "recorded"})
