"""How many files a process may open, and how many of them are for callers."""

import resource

import pytest

from libs.common.descriptors import connections_for_callers, limit, raise_limit

NONE = resource.RLIM_INFINITY


class Limits:
    """The system's limits of open files, soft and hard."""

    def __init__(self, soft: int, hard: int, most: int | None = None) -> None:
        self.soft, self.hard = soft, hard
        #: More than this is refused, as macOS does.
        self._most = most

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.soft, self.hard

    def set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self._most is not None and limits[0] > self._most:
            raise ValueError("not allowed to raise maximum limit")
        self.soft, self.hard = limits


def use(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> Limits:
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    return limits


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "in_force"),
    [
        (1_024, 4_096, 4_096, 4_096),
        (1_024, NONE, 65_536, 65_536),
        (1_024, 1_000_000, 65_536, 65_536),
        (65_536, 1_000_000, 65_536, 65_536),
        (100_000, 1_000_000, 100_000, 100_000),
        (4_096, 4_096, 4_096, 4_096),
        (NONE, NONE, NONE, 65_536),
    ],
)
def test_the_limit_is_raised_as_far_as_needed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, in_force: int
) -> None:
    limits = use(monkeypatch, Limits(soft, hard))
    assert raise_limit() == in_force
    assert (limits.soft, limits.hard) == (raised, hard)
    assert limit() == in_force


def test_a_system_that_takes_less_than_it_says_keeps_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = use(monkeypatch, Limits(256, NONE, most=10_240))
    assert raise_limit() == 256
    assert (limits.soft, limits.hard) == (256, NONE)


@pytest.mark.parametrize(
    ("wanted", "database", "of", "expected"),
    [
        # All that are wanted, as long as the process keeps 200 for itself and the database's.
        (4_096, 20, 65_536, 4_096),
        (780, 20, 1_000, 780),
        (781, 20, 1_000, 780),
        (4_096, 20, 4_316, 4_096),
        (4_096, 20, 4_315, 4_095),
        # Half at least.
        (4_096, 20, 256, 128),
        (4_096, 20, 439, 219),
        (4_096, 20, 440, 220),
        (4_096, 900, 1_024, 512),
        # One at least.
        (4_096, 20, 1, 1),
    ],
)
def test_callers_have_what_the_process_does_not_need_itself(
    wanted: int, database: int, of: int, expected: int
) -> None:
    assert connections_for_callers(wanted, database=database, of=of) == expected
