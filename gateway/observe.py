"""Metrics, logs, transcripts: their names in one place."""
