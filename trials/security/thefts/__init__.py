"""Thefts: what somebody tries who has a password or a certificate, row by row of one table.

Each row says whose password or certificate it takes, what that could gain, and what is done. One
measure looks at all of them alike: what was taken, by the chain; how long an honest payout beside
it took; and what wallet's security log says.
"""
