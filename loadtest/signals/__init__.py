"""What docs/signals.md shows: each kind of change, as detectors see it."""
