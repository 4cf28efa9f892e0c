"""The monitor of all models: in shards, with the commands it took, and how they stand."""
