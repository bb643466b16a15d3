"""Common values of results of measurements and fault runs in tests."""

from trials.machine import Origin

#: An arbitrary machine and commit.
ORIGIN = Origin(
    date="2026-11-24",
    commit="0123456789",
    cpu="a CPU",
    cores=2,
    memory_gib=8.0,
    system="Linux x86_64",
    python="3.11.7",
    postgres="16.1",
)
