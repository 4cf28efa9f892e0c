"""From columns to the numeric streams that detectors watch."""
