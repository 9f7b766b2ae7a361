"""Metrics, logs, transcripts: their names in one place."""

from typing import Any


class Metrics:
    attempts: Any
    handed_over: Any
    submissions: Any
