"""Histories: replayed through the service's own pipeline, and what came of them."""
