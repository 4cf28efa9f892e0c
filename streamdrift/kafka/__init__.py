"""Kafka: connections, topics, producers that several writers share, transactions."""
