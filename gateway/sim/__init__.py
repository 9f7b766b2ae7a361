"""Simulated carriers of every protocol, with quirks, as a product: for demos, for our tests, for integrators.

Each keeps a ground-truth log: what really reached the pager, written before the carrier answers.
"""
