"""A chain on disk: what is there after a restart, and what is refused."""

from pathlib import Path

import pytest
from stellar_sdk import Asset, Keypair
from stellar_sdk.operation import AccountMerge, Payment

from localnet.ledger.sqlite_store import SqliteStore, StoreMismatchError
from tests.support.localnet_chain import Chain, make_node

IDENTITY = {"passphrase": "one", "block_seconds": "300"}


def open_chain(folder: Path, retention: int = 1000) -> tuple[Chain, SqliteStore]:
    store = SqliteStore(folder, identity=IDENTITY)
    return Chain(node=make_node(store=store, retention=retention)), store


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    chain, store = open_chain(tmp_path)
    farmer, gone = Keypair.random(), Keypair.random()
    chain.fund(farmer, gone)
    chain.apply(farmer, [Payment(chain.network.root.public_key, Asset.native(), "3")])
    chain.apply(gone, [AccountMerge(farmer.public_key)])
    store.close()
    again, store = open_chain(tmp_path)
    assert again.node.snapshot == chain.node.snapshot
    assert again.node.history.latest == chain.node.history.latest
    kept = list(again.node.history.range(1, 100))
    assert kept == list(chain.node.history.range(1, 100))
    assert not again.exists(gone)
    # The chain goes on where it was.
    previous = again.node.history.latest.hash
    assert previous in again.close().header
    store.close()


def test_old_ledgers_leave_the_disk(tmp_path: Path) -> None:
    chain, store = open_chain(tmp_path, retention=5)
    for _ in range(20):
        chain.close()
    store.close()
    again, store = open_chain(tmp_path, retention=5)
    assert again.node.history.oldest.sequence == 17
    assert again.node.history.latest.sequence == 21
    store.close()


def test_another_networks_folder_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path, identity=IDENTITY).close()
    with pytest.raises(StoreMismatchError):
        SqliteStore(tmp_path, identity=IDENTITY | {"passphrase": "another"})


def test_a_ledger_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    chain, store = open_chain(tmp_path)
    farmer = Keypair.random()
    chain.fund(farmer)
    before = chain.node.snapshot.sequence
    ledger = chain.node.history.latest
    account = chain.account(farmer)
    with pytest.raises(Exception, match="UNIQUE"):
        # The same sequence again: its entries must not stay either.
        store.save(ledger, {account.key: None}, oldest=1)
    store.close()
    again, store = open_chain(tmp_path)
    assert again.node.snapshot.sequence == before
    assert again.exists(farmer)
    store.close()
