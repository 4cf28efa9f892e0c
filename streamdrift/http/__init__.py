"""What every HTTP server shares: where it listens, who may ask, how many connections it holds."""
