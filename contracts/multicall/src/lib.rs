//! Calls several contracts in one transaction; a call that fails does not fail the others.
//!
//! README.md tells what a returned error says, and about whom.
#![no_std]

use soroban_sdk::{contract, contractimpl, Address, Env, Error, Symbol, Val, Vec};

#[cfg(test)]
mod test;

/// One call: contract, function, arguments.
type Call = (Address, Symbol, Vec<Val>);

#[contract]
pub struct Multicall;

#[contractimpl]
impl Multicall {
    /// One value per call, in order: what it returned, or its error.
    pub fn exec(env: Env, calls: Vec<Call>) -> Vec<Val> {
        let mut results = Vec::new(&env);
        for call in calls.try_iter() {
            // An entry that is no call is a mistake of the caller: all of it fails.
            let Ok(call) = call else { panic!() };
            results.push_back(attempt(&env, call));
        }
        results
    }
}

/// What the call returned, or its error; what a failed call had written is undone.
fn attempt(env: &Env, (contract, function, arguments): Call) -> Val {
    match env.try_invoke_contract::<Val, Error>(&contract, &function, arguments) {
        Ok(Ok(value)) => value,
        Err(Ok(error)) => error.to_val(),
        // Every value is a Val and every failure an Error: neither conversion can fail.
        Ok(Err(_)) | Err(Err(_)) => panic!(),
    }
}
