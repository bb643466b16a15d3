"""The rules of the work for miners, as pure functions and small objects: no I/O, no clock."""
