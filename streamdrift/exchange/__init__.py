"""Between workers: events, progress and steps as frames on a topic with a partition per shard."""
