"""The comparison with history, on a small scale: it fills, farms blocks on both, and compares."""

import io
from dataclasses import replace

from rich.console import Console

from trials.history.run import run
from trials.history.tables import rows_of, verdict


async def test_a_block_runs_on_top_of_history() -> None:
    result = await run(3_000, 20, 1, Console(file=io.StringIO()))
    assert result.events == 3_000
    names = {row.name for row in result.rows}
    assert {"plant: record", "wallet: claim", "wallet: close", "work: farmers"} <= names
    assert all(row.empty_ms > 0 and row.filled_ms > 0 for row in result.rows)
    assert len(rows_of(result)) == len(result.rows)
    assert "3,000 events" in verdict(result)
    slower = replace(
        result, rows=[replace(row, filled_ms=row.empty_ms * 1.3) for row in result.rows]
    )
    assert not slower.met
    assert "goal 1.2: NOT met" in verdict(slower)
