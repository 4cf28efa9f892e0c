"""Faults against `streamdrift run` on real Apache Kafka: what they do to its alerts."""
