"""CloudEvents in by HTTP, out to Kafka: for producers that can post, and nothing else.

An answer of 202 says that all replicas have the events; any other, that they may not have them.
"""
