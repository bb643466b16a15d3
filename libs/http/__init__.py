"""HTTP as our processes serve it: connections, limits, errors, streams of events, a reference.

What is served is the importer's: this package knows no path, no service and no KALE.
"""
