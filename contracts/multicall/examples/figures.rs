//! Prints what the host counts when a file of code is uploaded, uploaded again, and a contract is
//! created from it. localnet/soroban/uploads.py holds these figures.
//!
//! Usage: cargo run --example figures -- FILE.wasm
use std::{collections::BTreeMap, env, fs, rc::Rc};

use soroban_env_host::budget::Budget;
use soroban_env_host::e2e_invoke::{
    entry_size_for_rent, invoke_host_function_in_recording_mode,
    InvokeHostFunctionRecordingModeResult, RecordingInvocationAuthMode,
};
use soroban_env_host::e2e_testutils::{
    account_entry, get_account_id, get_contract_id_preimage, get_wasm_hash, upload_wasm_host_fn,
};
use soroban_env_host::storage::{EntryWithLiveUntil, SnapshotSource};
use soroban_env_host::xdr::{
    ContractExecutable, CreateContractArgsV2, Hash, HostFunction, LedgerEntry, LedgerEntryData,
    LedgerKey, LedgerKeyAccount, Limits, ReadXdr,
};
use soroban_env_host::{HostError, LedgerInfo};

type Entries = BTreeMap<LedgerKey, EntryWithLiveUntil>;

struct Snapshot(Entries);

impl SnapshotSource for Snapshot {
    fn get(&self, key: &Rc<LedgerKey>) -> Result<Option<EntryWithLiveUntil>, HostError> {
        Ok(self.0.get(key).cloned())
    }
}

/// Lifetimes as on mainnet; the rest does not matter.
fn ledger() -> LedgerInfo {
    LedgerInfo {
        protocol_version: 23,
        sequence_number: 1,
        timestamp: 0,
        network_id: [0; 32],
        base_reserve: 5_000_000,
        min_temp_entry_ttl: 17_280,
        min_persistent_entry_ttl: 2_073_600,
        max_entry_ttl: 3_110_400,
    }
}

/// Simulates the function for account 0 and prints what it takes.
fn simulate(name: &str, entries: &Entries, function: HostFunction) -> Entries {
    let budget = Budget::default();
    let result = invoke_host_function_in_recording_mode(
        &budget,
        false,
        &function,
        &get_account_id([0; 32]),
        RecordingInvocationAuthMode::Recording(true),
        ledger(),
        Rc::new(Snapshot(entries.clone())),
        [0; 32],
        &mut vec![],
    )
    .unwrap();
    result.invoke_result.as_ref().unwrap();
    let memory = budget.get_mem_bytes_consumed().unwrap();
    let (instructions, written) = (result.resources.instructions, result.resources.write_bytes);
    // The margin that RPC's simulation adds: 4 %, 50,000 at least.
    let declared = (instructions + 50_000).max(instructions + instructions * 4 / 100);
    println!("{name}: instructions={declared} memory={memory} write_bytes={written}");
    written_by(&result)
}

fn written_by(result: &InvokeHostFunctionRecordingModeResult) -> Entries {
    let mut entries = Entries::new();
    for change in &result.ledger_changes {
        let Some(value) = &change.encoded_new_value else {
            continue;
        };
        let key = LedgerKey::from_xdr(&change.encoded_key, Limits::none()).unwrap();
        let entry = LedgerEntry::from_xdr(value, Limits::none()).unwrap();
        describe_code(&entry, value.len() as u32);
        entries.insert(key, (Rc::new(entry), Some(2_073_600)));
    }
    entries
}

fn describe_code(entry: &LedgerEntry, size: u32) {
    if let LedgerEntryData::ContractCode(code) = &entry.data {
        let rent = entry_size_for_rent(&Budget::default(), entry, size).unwrap();
        println!("  module_bytes={} counts={:?}", rent - size, code.ext);
    }
}

fn main() {
    let code = fs::read(env::args().nth(1).expect("a file")).unwrap();
    let deployer = get_account_id([0; 32]);
    let account = LedgerKey::Account(LedgerKeyAccount {
        account_id: deployer.clone(),
    });
    let mut entries = Entries::from([(account, (Rc::new(account_entry(&deployer)), None))]);
    let uploaded = simulate("upload", &entries, upload_wasm_host_fn(&code));
    entries.extend(uploaded);
    simulate("upload_again", &entries, upload_wasm_host_fn(&code));
    let creation = HostFunction::CreateContractV2(CreateContractArgsV2 {
        contract_id_preimage: get_contract_id_preimage(&deployer, &[0; 32]),
        executable: ContractExecutable::Wasm(Hash(get_wasm_hash(&code))),
        constructor_args: Default::default(),
    });
    simulate("create", &entries, creation);
}
