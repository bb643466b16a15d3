"""What is wrong on a command line is told in one line, and nobody is called."""

from pathlib import Path

import pytest

from tests.support.recorder import Recorder, run

WRONG = {
    "pooler shwo x": "Available commands: register, show",
    "nonsense": "(kalepool --help)",
    "pooler shwo": "(kalepool pooler --help)",
    "withdrawal send x y --amount 1": "takes: y (kalepool withdrawal send --help)",
    "status x y": "more than the command takes: x y (kalepool status --help)",
    "pooler show": "POOLER_ID",
    "farmer register": "--pooler",
    "plant --pooler x --block -1": "--block",
    "plant --pooler x --block 4294967296": "--block",
    "plant --pooler x --block 1 --max-farmers 2147483648": "--max-farmers",
    "plant --pooler x --block one": "--block",
    "pooler list --timeout 0": "--timeout",
    "pooler list --nonsense": "--nonsense",
    "wallet show": "--farmer, --wallet and --address",
    "report summary --pooler x --farmer y": "--pooler, --farmer and --address",
    "report earnings --by week": "--by",
    "report earnings --since yesterday": "--since",
    "report block": "INDEX",
    "wallet show --farmer x --wallet y": "--farmer, --wallet and --address",
    "operation list --state lost": "--state",
    "farmer register --pooler x --metadata {": "metadata: not JSON",
    "farmer register --pooler x --metadata [1]": "metadata: must be a JSON object",
    "farmer register --pooler x --metadata @nowhere.json": "nowhere.json",
    'farmer register --pooler x --metadata {"a":"\\ud800"}': "metadata: ",
    f'farmer register --pooler x --metadata {{"a":1{"0" * 400}}}': "metadata: ",
    "work --pooler x --block 1 --submissions nowhere.json": "nowhere.json",
    "token create pooler": "give the pooler's id",
    "agreement set x": "--terms-version or --pooler-fee",
    "agreement draft x": "give one of --payout-address",
    "agreement draft x --objection --owner-account y": "give one of --payout-address",
    "agreement sign x --objection --signature !": "--signature: must be base64",
    "pooler publish-terms x --pooler-fee 0.1 --payout-threshold much": "--payout-threshold",
    "webhook create": "URL",
    "webhook create https://a.example --kinds payout": "--kinds: 'payout' is none of",
    "token create farmer x": "ROLE",
    "token create operator --methods Plant": "'Plant' is one of /kalepool.",
    "token create operator --methods PlantService/Plan": "'PlantService/Plan' is no method",
    "token create operator --expires 0": "--expires",
    "token create operator --expires 366": "--expires",
}


@pytest.mark.parametrize("line", WRONG)
async def test_a_wrong_line_is_told_in_one_line(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert await run(*line.split()) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("kalepool: ")
    assert errors.count("\n") == 1
    assert WRONG[line] in errors
    assert not recorder.calls


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("7", "submissions: must be a JSON list"),
        ("{}", "submissions: must be a JSON list"),
        ('[{"nonce": -1}]', "submissions[0]"),
        ('[{}, {"farmer": "x"}]', "submissions[1]"),
        ("[[]]", "submissions[0]"),
        ("[" * 100_000, "submissions: not JSON"),
    ],
)
async def test_wrong_submissions_are_told(
    recorder: Recorder,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: str,
    expected: str,
) -> None:
    place = tmp_path / "nonces"
    place.write_text(content, encoding="utf-8")
    line = ["work", "--pooler", "x", "--block", "1", "--submissions", str(place)]
    assert await run(*line) == 2
    assert expected in capsys.readouterr().err
    assert not recorder.calls
