"""Prometheus metrics: declared once, and their text."""
