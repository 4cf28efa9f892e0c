"""What `mode: distributed` costs, and how long its alerts take."""
