"""The demo: a whole pool on this machine farms some blocks (run), or keeps running (up, down).

Pools are started by devstack; nothing but the demo's own tests imports this package.
"""
