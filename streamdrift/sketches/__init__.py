"""What a column looks like: sketches of a reference, and where a value stands in it."""
