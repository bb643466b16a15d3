"""Soroban envelopes with any footprint and any declared resources, for the ledger's own rules."""

from typing import Any

from stellar_sdk import (
    Account,
    Address,
    Keypair,
    SorobanDataBuilder,
    TransactionBuilder,
    scval,
    xdr,
)
from stellar_sdk import TransactionEnvelope as Envelope

from tests.support.localnet_chain import Chain


def entry_key(number: int, contract: str) -> xdr.LedgerKey:
    """Return the key of some temporary entry of a contract."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.LedgerKeyContractData(
            contract=Address(contract).to_xdr_sc_address(),
            key=scval.to_uint32(number),
            durability=xdr.ContractDataDurability.TEMPORARY,
        ),
    )


#: A contract that does not exist: calls of it fail, which does not matter to the ledger's rules.
NOWHERE = "CAAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQC526"


def soroban_envelope(
    chain: Chain,
    source: Keypair,
    *,
    data: bool = True,
    instructions: int = 1_000_000,
    write_bytes: int = 1000,
    writes: tuple[int, ...] = (),
    reads: tuple[int, ...] = (),
    resource_fee: int = 100_000,
    bid: int = 100,
    fee: int | None = None,
    sequence: int | None = None,
) -> Envelope:
    """Return a signed call; `writes` and `reads` number the entries of its footprint."""
    if sequence is None:
        sequence = chain.account(source).seq_num + 1
    account = Account(source.public_key, sequence - 1)
    builder = TransactionBuilder(account, chain.network.passphrase, base_fee=bid)
    builder.append_invoke_contract_function_op(NOWHERE, "nothing", [])
    builder.add_time_bounds(0, chain.now + 300)
    if data:
        resources: Any = SorobanDataBuilder()  # type: ignore[no-untyped-call]
        resources.set_read_only([entry_key(n, NOWHERE) for n in reads])
        resources.set_read_write([entry_key(n, NOWHERE) for n in writes])
        resources.set_resources(instructions, 0, write_bytes)
        resources.set_resource_fee(resource_fee)
        builder.set_soroban_data(resources.build())
    envelope = builder.build()
    envelope.transaction.fee = bid + resource_fee if fee is None else fee
    envelope.sign(source)
    return envelope
