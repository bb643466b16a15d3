"""Records of calls that were given up are counted once, where they were sent."""

import json
from pathlib import Path

from libs.common.names import SERVICES
from trials.security.arrivals import Arrival, Records, request_id


def line(identifier: str, event: str = "request", status: str = "OK") -> str:
    return json.dumps({"event": event, "status": status, "request_id": identifier}) + "\n"


def test_calls_are_found_in_the_log_of_the_process_that_they_went_to(tmp_path: Path) -> None:
    for name in SERVICES:
        (tmp_path / f"{name}.log").write_text(line(request_id(name, 1)))
    records = Records(tmp_path)
    assert list(records.arrivals()) == [], "they were there before"

    begun = line(request_id("plant", 3), status="CANCELLED")
    with (tmp_path / "plant.log").open("a") as log:
        log.write("no JSON at all\n")
        log.write(line(request_id("plant", 2)))
        log.write(line(request_id("plant", 2), event="refused"))
        log.write(line("somebody-else"))
        log.write(begun[:30])
        log.flush()
        assert list(records.arrivals()) == [Arrival(number=2, status="OK")]
        log.write(begun[30:])
    # What a call to plant asks of wallet is no call of ours to wallet.
    with (tmp_path / "wallet.log").open("a") as log:
        log.write(line(request_id("plant", 3)))
    assert list(records.arrivals()) == [Arrival(number=3, status="CANCELLED")]
    assert list(records.arrivals()) == []
