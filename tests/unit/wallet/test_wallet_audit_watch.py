"""The watch over the audit log's end: what is told elsewhere, and what a person has to look at."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from services.wallet.domain.audit import Head
from services.wallet.engine.audit_watch import AuditWatch


class Log:
    """An audit log with a hash for each record."""

    def __init__(self, count: int) -> None:
        self.hashes = {number: bytes([number]) * 32 for number in range(1, count + 1)}
        #: Records that wallet did not write.
        self.strange: dict[int, str] = {}
        self.sealed: list[tuple[int, int]] = []
        self.left: list[str] = []

    def grow(self, number: int) -> None:
        """Write records up to this number."""
        self.hashes |= {item: bytes([item]) * 32 for item in range(1, number + 1)}

    async def head(self) -> Head:
        """As the store's."""
        last = max(self.hashes, default=0)
        return Head(number=last, hash=self.hashes[last]) if last else Head()

    async def hash_at(self, number: int) -> bytes | None:
        """As the store's."""
        return self.hashes.get(number)

    async def judge(self) -> "Log":
        """As the store's."""
        return self

    def strangers(self, page: Sequence[int]) -> list[str]:
        """As the judge's."""
        return [self.strange[number] for number in page if number in self.strange]

    async def seals(self, *, after: int, until: int) -> AsyncIterator[list[int]]:
        """As the store's, a record to a page."""
        self.sealed.append((after, until))
        for number in range(after + 1, until + 1):
            yield [number]

    async def findings(self) -> list[str]:
        """As the rights' store."""
        return list(self.left)


def watch(log: Log) -> AuditWatch:
    return AuditWatch(cast(Any, log), cast(Any, log))


async def test_the_head_is_told_again_and_again(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(3)
    watching = watch(log)
    await watching.step()
    assert f"hash={(bytes([3]) * 32).hex()}" in "".join(capfd.readouterr())
    log.grow(5)
    await watching.step()
    told = "".join(capfd.readouterr())
    assert "audit head" in told
    assert "number=5" in told
    assert watching.warnings == []
    # Only what was written since is judged.
    assert log.sealed == [(3, 5)]
    await watching.step()
    assert watching.warnings == []


@pytest.mark.parametrize("how", ["cut", "written anew", "longer, and written anew", "emptied"])
async def test_a_log_that_lost_what_was_told_is_a_warning_for_ever(
    how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log(3)
    watching = watch(log)
    await watching.step()
    match how:
        case "cut":
            del log.hashes[3]
        case "emptied":
            log.hashes.clear()
        case "written anew":
            log.hashes[3] = bytes(32)
        case _:
            log.grow(4)
            log.hashes[3] = bytes(32)
    await watching.step()
    (warning,) = watching.warnings
    assert warning == "the audit log was cut or written anew: it had record 3 as told"
    told = "".join(capfd.readouterr())
    assert "audit log was cut or written anew" in told
    assert (bytes([3]) * 32).hex() in told
    log.grow(9)
    await watching.step()
    assert len(watching.warnings) == 1


async def test_an_empty_log_may_begin() -> None:
    log = Log(0)
    watching = watch(log)
    await watching.step()
    log.grow(2)
    await watching.step()
    assert watching.warnings == []


async def test_a_record_that_wallet_did_not_write_is_a_warning(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = Log(1)
    watching = watch(log)
    await watching.step()
    log.grow(4)
    log.strange = {3: "record 3 is forged", 4: "record 4 is forged"}
    await watching.step()
    # All are told, the first one stays.
    assert "".join(capfd.readouterr()).count("record not written by wallet") == 2
    assert watching.warnings == ["record 3 is forged"]
    log.grow(5)
    log.strange = {5: "record 5 is forged"}
    await watching.step()
    assert watching.warnings == ["record 3 is forged"]


async def test_what_the_database_lets_others_do_is_told_when_it_changes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = Log(1)
    watching = watch(log)
    await watching.step()
    assert "get in the way" not in "".join(capfd.readouterr())
    log.left = ["others may lock a table"]
    for _ in range(2):
        await watching.step()
    assert "".join(capfd.readouterr()).count("the database lets others get in the way") == 1
    assert watching.warnings == ["others may lock a table"]
    log.left = []
    await watching.step()
    assert watching.warnings == []
