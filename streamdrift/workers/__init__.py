"""`mode: distributed`: identical workers, each with an ingest and a detect role."""
