"""What a signal's normal looks like, and how it goes on being learned."""
