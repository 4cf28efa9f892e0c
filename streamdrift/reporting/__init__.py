"""What a replay found, as a page: what is kept of it while it runs, and how it is drawn."""
