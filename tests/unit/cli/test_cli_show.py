"""How replies look: tables for people, protobuf's JSON for programs."""

import json
from datetime import UTC, datetime
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import engine_pb2, wallet_pb2, withdrawal_pb2

import cli
from cli.engine import show_accounts
from cli.main import describe
from cli.show import Output, cell, enum_name, titles
from libs.common.errors import FieldViolation, InvalidArgumentError, NotFoundError

FARMER = "0190a5f0-0000-7000-8000-000000000001"


def planting(**changes: Any) -> plant_pb2.Planting:
    """One planting."""
    message = plant_pb2.Planting(
        farmer_id=FARMER,
        stake_amount=1_500_000_000_001,
        fee_charged=18_598,
        status=plant_pb2.PLANTING_STATUS_SUCCESS,
        **changes,
    )
    message.planted_at.FromDatetime(datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC))
    return message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stake_amount", "150000.0000001 KALE"),
        ("fee_charged", "0.0018598 XLM"),
        ("status", "success"),
        ("reason", ""),
        ("planted_at", "2026-01-02 03:04:05 UTC"),
        ("farmer_id", FARMER),
    ],
)
def test_a_cell_is_for_people(name: str, expected: str) -> None:
    assert cell(planting(), name) == expected


def test_absent_and_other_fields() -> None:
    assert cell(registry_pb2.Pooler(), "last_seen") == ""
    assert cell(registry_pb2.Farmer(is_funded=True), "is_funded") == "yes"
    assert cell(registry_pb2.Farmer(), "is_funded") == "no"
    assert cell(wallet_pb2.Operation(hash=b"\x01\xff"), "hash") == "01ff"
    farmer = registry_pb2.Farmer()
    farmer.metadata.update({"name": "Zoë"})
    assert cell(farmer, "metadata") == '{"name": "Zoë"}'


def test_values_of_a_newer_service_are_shown_as_numbers() -> None:
    descriptor = common_pb2.FailureReason.DESCRIPTOR
    assert enum_name(descriptor, 99) == "99"
    assert enum_name(descriptor, common_pb2.FAILURE_REASON_FEE_CAP) == "fee_cap"


def test_json_is_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    reply = plant_pb2.PlantResponse(block_index=7, plantings=[planting()])
    Output(json=True).summary(reply, "plantings", ["farmer_id"])
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    found = json.loads(output)
    assert (found["blockIndex"], found["totalStaked"], found["failedPlants"]) == (7, "0", 0)
    assert found["plantings"][0]["stakeAmount"] == "1500000000001"
    assert found["plantings"][0]["status"] == "PLANTING_STATUS_SUCCESS"


def test_a_table_has_every_row_whole(capsys: pytest.CaptureFixture[str]) -> None:
    reply = plant_pb2.PlantResponse(block_index=7, plantings=[planting(), planting()])
    Output(json=False).summary(reply, "plantings", ["farmer_id", "stake_amount"])
    output = capsys.readouterr().out
    assert "block index" in output
    assert output.count(FARMER) == 2
    assert output.count("150000.0000001 KALE") == 2


def test_what_stands_inside_again_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    balances = wallet_pb2.Balances(farmer_id=FARMER, kale_stroops=5)
    Output(json=False).message(wallet_pb2.Wallet(farmer_id=FARMER, balances=balances))
    output = capsys.readouterr().out
    assert output.count(FARMER) == 1
    assert "0.0000005 KALE" in output


def columns_of_all_tables() -> dict[str, tuple[str, ...]]:
    """The columns of tables, by module and name."""
    modules = [import_module(f"cli.{found.name}") for found in iter_modules(cli.__path__)]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, tuple) and (name.endswith("COLUMNS") or name == "_NOTIFICATIONS")
    }


def test_no_two_columns_of_a_table_are_called_alike() -> None:
    found = columns_of_all_tables()
    assert len(found) > 15
    shown = {name: titles(columns) for name, columns in found.items()}
    assert {name for name, titled in shown.items() if len(set(titled)) < len(titled)} == set()


def test_fields_of_two_messages_inside_are_told_apart_as_columns() -> None:
    columns = ("block_index", "own.min_zeros", "own.max_zeros", "chain.max_zeros", "state.at")
    expected = ["block index", "own min zeros", "own max zeros", "chain max zeros", "at"]
    assert titles(columns) == expected
    assert titles(("amount", "operation.state")) == ["amount", "state"]


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[red]north[/red] [/]"
    Output(json=False).message(registry_pb2.Pooler(name=name))
    Output(json=False).rows(
        registry_pb2.ListPoolersResponse(poolers=[registry_pb2.Pooler(name=name)]),
        "poolers",
        ["name"],
    )
    assert capsys.readouterr().out.count(name) == 2


def test_more_than_was_asked_for_is_said_aside(capsys: pytest.CaptureFixture[str]) -> None:
    reply = registry_pb2.ListPoolersResponse(
        poolers=[registry_pb2.Pooler()], next_page_token="more"
    )
    Output(json=False).rows(reply, "poolers", ["name"])
    assert "--limit 0" in capsys.readouterr().err


def test_an_error_is_one_line() -> None:
    assert describe(NotFoundError("no\npooler")) == "NOT_FOUND: no pooler"
    violations = [
        FieldViolation(field="name", description="must have 1 to 255 characters, not 0"),
        FieldViolation(field="public_key", description="must be an account"),
    ]
    assert describe(InvalidArgumentError("short", violations=violations)) == (
        "INVALID_REQUEST: name must have 1 to 255 characters, not 0; public_key must be an account"
    )


def test_a_withdrawal_is_shown_in_what_it_is_and_with_how_it_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    withdrawals = [
        withdrawal_pb2.Withdrawal(
            asset=asset,
            amount=15_000_000,
            operation=wallet_pb2.Operation(
                state=wallet_pb2.OPERATION_STATE_SUCCEEDED, fee_charged=400
            ),
        )
        for asset in (withdrawal_pb2.WITHDRAWAL_ASSET_KALE, withdrawal_pb2.WITHDRAWAL_ASSET_XLM)
    ]
    reply = withdrawal_pb2.ListWithdrawalsResponse(withdrawals=withdrawals)
    output = Output(json=False)
    output.rows(reply, "withdrawals", ("amount", "operation.state"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["amount", "state"] in lines
    assert ["1.5000000", "KALE", "succeeded"] in lines
    assert ["1.5000000", "XLM", "succeeded"] in lines
    output.message(withdrawals[1])
    assert "1.5000000 XLM" in capsys.readouterr().out


def test_what_has_the_same_name_in_two_places_is_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = engine_pb2.GetEngineStatusResponse(
        channels=engine_pb2.ChannelAccounts(xlm_stroops=50_000_000),
        treasury=engine_pb2.TreasuryAccount(xlm_stroops=70_000_000),
    )
    Output(json=False).message(status)
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {"xlm 5.0000000 XLM", "treasury xlm 7.0000000 XLM"} <= lines


def test_the_accounts_of_the_pool_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    status = engine_pb2.GetEngineStatusResponse(
        channels=engine_pb2.ChannelAccounts(made=7, ready=6, busy=5, low=4, xlm_stroops=50_000_000),
        payers=engine_pb2.PayerAccounts(made=3, ready=2, busy=1, stopped=9),
    )
    show_accounts(Output(json=False), status)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["accounts", "made", "ready", "busy", "low", "stopped", "xlm"] in lines
    assert ["channels", "7", "6", "5", "4", "5.0000000", "XLM"] in lines
    assert ["payers", "3", "2", "1", "9"] in lines


def test_rent_is_told_with_its_units(capsys: pytest.CaptureFixture[str]) -> None:
    code = engine_pb2.RentEntry(name="farm code", ledgers_left=3_000_000, due_ledger=70)
    rent = engine_pb2.RentStatus(
        entries=[code],
        rent_spent_stroops=15_000_000,
        rent_budget_stroops=10**9,
        calls_wait_for_rent=True,
        rent_error="send it XLM",
    )
    Output(json=False).message(engine_pb2.GetEngineStatusResponse(rent=rent))
    Output(json=False).rows(rent, "entries", ("name", "ledgers_left", "due_ledger"))
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert lines >= {
        "rent spent 1.5000000 XLM",
        "rent budget 100.0000000 XLM",
        "calls wait for rent yes",
        "rent error send it XLM",
        "farm code 3000000 70",
    }
