"""A model's version: its reference, what is learnt of its columns, and the watch of its signals."""
