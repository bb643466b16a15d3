"""The comparison with history, on a small scale: it fills, farms blocks on both, and compares."""

import io
from dataclasses import replace

from rich.console import Console

from trials.history.run import run
from trials.history.tables import rows_of, verdict


async def test_a_block_runs_on_top_of_history() -> None:
    # More farmers than the wallet takes up at once, and the last round is not full.
    result = await run(1_560, 260, 1, Console(file=io.StringIO()))
    assert result.events == 1_560
    names = {row.name for row in result.rows}
    assert {"plant: record", "wallet: claim", "wallet: close", "work: farmers"} <= names
    assert {"wallet: look at live rows", "wallet: look at records"} <= names
    assert all(row.empty_ms > 0 and row.filled_ms > 0 for row in result.rows)
    assert len(rows_of(result)) == len(result.rows)
    assert "1,560 events" in verdict(result)
    slower = replace(
        result, rows=[replace(row, filled_ms=row.empty_ms * 1.3) for row in result.rows]
    )
    assert not slower.met
    assert "goal 1.2: NOT met" in verdict(slower)
