"""How many events a model gets: what is expected of its event rate, and the watch of it."""
