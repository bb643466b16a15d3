"""The door for miners: HTTP in front of the work for miners."""
