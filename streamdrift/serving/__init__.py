"""The service: it drives the pipeline from a source, commits, and recovers."""
