//! What a client sees of each kind of call, run by the host itself.
extern crate std;

use soroban_sdk::testutils::{
    Address as _, AuthorizedFunction, AuthorizedInvocation, EnvTestConfig,
};
use soroban_sdk::token::{StellarAssetClient, TokenClient};
use soroban_sdk::xdr::{ScErrorCode, ScErrorType};
use soroban_sdk::{
    contract, contracterror, contractimpl, panic_with_error, symbol_short, vec, Address, Env,
    Error, IntoVal, Symbol, TryFromVal, Val, Vec,
};

use crate::{Call, Multicall, MulticallClient};

/// Errors of the stand-in farm; PailExists has the farm's number, NoWork one that the token has, too.
#[contracterror]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarmError {
    PailExists = 8,
    NoWork = 10,
}

/// Some account: it can sign, but it cannot be called.
const ACCOUNT: &str = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7";

/// The token's BalanceError (KALE_CONTRACT.md section 8).
const TOKEN_BALANCE: u32 = 10;

/// A contract that fails in every way that the farm can.
#[contract]
pub struct Farm;

#[contractimpl]
impl Farm {
    /// Writes first, then fails when the farmer was here already.
    pub fn plant(env: Env, farmer: Address, token: Address, amount: i128) -> Result<(), FarmError> {
        farmer.require_auth();
        let planted: u32 = env.storage().instance().get(&farmer).unwrap_or(0);
        env.storage().instance().set(&farmer, &(planted + 1));
        if planted > 0 {
            return Err(FarmError::PailExists);
        }
        if amount > 0 {
            TokenClient::new(&env, &token).burn(&farmer, &amount);
        }
        Ok(())
    }

    pub fn planted(env: Env, farmer: Address) -> u32 {
        env.storage().instance().get(&farmer).unwrap_or(0)
    }

    pub fn harvest(env: Env, index: u32) -> i128 {
        if index == 0 {
            panic_with_error!(&env, FarmError::NoWork);
        }
        i128::MAX - i128::from(index)
    }

    pub fn overflow(amount: u32) -> u32 {
        amount + u32::MAX
    }
}

/// The committed file, as it is deployed.
const COMPILED: &[u8] = include_bytes!("../../../services/wallet/chain/build/contracts/multicall.wasm");

struct World {
    env: Env,
    multicall: Address,
    farm: Address,
    token: Address,
}

impl World {
    fn new() -> Self {
        // The SDK would leave a file behind for each test.
        let env = Env::new_with_config(EnvTestConfig {
            capture_snapshot_at_drop: false,
        });
        env.mock_all_auths_allowing_non_root_auth();
        let token = env.register_stellar_asset_contract_v2(Address::generate(&env));
        World {
            multicall: env.register(Multicall, ()),
            farm: env.register(Farm, ()),
            token: token.address(),
            env,
        }
    }

    fn plant(&self, farmer: &Address, amount: i128) -> Call {
        let arguments = (farmer, &self.token, amount).into_val(&self.env);
        (self.farm.clone(), symbol_short!("plant"), arguments)
    }

    fn call<A: IntoVal<Env, Vec<Val>>>(&self, function: &str, arguments: A) -> Call {
        let name = Symbol::new(&self.env, function);
        (self.farm.clone(), name, arguments.into_val(&self.env))
    }

    fn exec(&self, calls: Vec<Call>) -> Vec<Val> {
        MulticallClient::new(&self.env, &self.multicall).exec(&calls)
    }

    fn planted(&self, farmer: &Address) -> u32 {
        FarmClient::new(&self.env, &self.farm).planted(farmer)
    }
}

fn error_of(value: Val) -> Option<Error> {
    Error::try_from(value).ok()
}

fn context_error() -> Option<Error> {
    let (kind, code) = (ScErrorType::Context, ScErrorCode::InvalidAction);
    Some(Error::from_type_and_code(kind, code))
}

#[test]
fn values_come_back_in_order() {
    let world = World::new();
    let calls = vec![
        &world.env,
        world.call("harvest", (1u32,)),
        world.call("harvest", (2u32,)),
    ];
    let values = world.exec(calls);
    let number = |at: u32| i128::try_from_val(&world.env, &values.get_unchecked(at)).unwrap();
    assert_eq!((number(0), number(1)), (i128::MAX - 1, i128::MAX - 2));
}

#[test]
fn no_calls_give_no_values() {
    let world = World::new();
    assert_eq!(world.exec(Vec::new(&world.env)).len(), 0);
}

#[test]
fn one_that_fails_leaves_the_others_alone() {
    let world = World::new();
    let farmers: [Address; 2] = core::array::from_fn(|_| Address::generate(&world.env));
    let calls = vec![
        &world.env,
        world.plant(&farmers[0], 0),
        world.plant(&farmers[0], 0),
        world.plant(&farmers[1], 0),
    ];
    let values = world.exec(calls);
    assert!(values.get_unchecked(0).is_void());
    let exists = Error::from_contract_error(FarmError::PailExists as u32);
    assert_eq!(error_of(values.get_unchecked(1)), Some(exists));
    assert!(values.get_unchecked(2).is_void());
    // What the failed call had written is undone.
    assert_eq!(
        (world.planted(&farmers[0]), world.planted(&farmers[1])),
        (1, 1)
    );
}

#[test]
fn the_compiled_file_does_so_too() {
    let mut world = World::new();
    world.multicall = world.env.register(COMPILED, ());
    let farmer = Address::generate(&world.env);
    let calls = vec![
        &world.env,
        world.plant(&farmer, 0),
        world.plant(&farmer, 0),
        world.call("overflow", (1u32,)),
        world.call("harvest", (1u32,)),
    ];
    let values = world.exec(calls);
    assert!(values.get_unchecked(0).is_void());
    let exists = Error::from_contract_error(FarmError::PailExists as u32);
    assert_eq!(error_of(values.get_unchecked(1)), Some(exists));
    assert_eq!(error_of(values.get_unchecked(2)), context_error());
    let reward = i128::try_from_val(&world.env, &values.get_unchecked(3));
    assert_eq!(reward.unwrap(), i128::MAX - 1);
}

#[test]
fn errors_of_the_token_come_through_the_farm_with_their_number() {
    let world = World::new();
    let (poor, rich) = (Address::generate(&world.env), Address::generate(&world.env));
    StellarAssetClient::new(&world.env, &world.token).mint(&rich, &5);
    let calls = vec![&world.env, world.plant(&poor, 5), world.plant(&rich, 5)];
    let values = world.exec(calls);
    let balance = Error::from_contract_error(TOKEN_BALANCE);
    assert_eq!(error_of(values.get_unchecked(0)), Some(balance));
    assert!(values.get_unchecked(1).is_void());
    assert_eq!((world.planted(&poor), world.planted(&rich)), (0, 1));
}

#[test]
fn a_number_that_farm_and_token_share_does_not_say_whose_it_is() {
    let world = World::new();
    let values = world.exec(vec![
        &world.env,
        world.call("harvest", (0u32,)),
        world.plant(&Address::generate(&world.env), 5),
    ]);
    assert_eq!(FarmError::NoWork as u32, TOKEN_BALANCE);
    assert_eq!(
        error_of(values.get_unchecked(0)),
        error_of(values.get_unchecked(1))
    );
}

#[test]
fn failures_that_are_no_contract_errors_are_one_error_of_the_context() {
    let world = World::new();
    let absent = Address::generate(&world.env);
    let calls = vec![
        &world.env,
        world.call("overflow", (1u32,)),
        world.call("no_such_function", ()),
        world.call("harvest", (symbol_short!("one"),)),
        world.call("harvest", ()),
        (absent, symbol_short!("plant"), Vec::new(&world.env)),
        (
            world.multicall.clone(),
            symbol_short!("exec"),
            Vec::new(&world.env),
        ),
    ];
    for value in world.exec(calls) {
        assert_eq!(error_of(value), context_error());
    }
}

#[test]
fn a_missing_signature_fails_its_own_call_only() {
    let world = World::new();
    world.env.set_auths(&[]);
    let farmer = Address::generate(&world.env);
    let calls = vec![
        &world.env,
        world.plant(&farmer, 0),
        world.call("harvest", (1u32,)),
    ];
    let values = world.exec(calls);
    assert_eq!(error_of(values.get_unchecked(0)), context_error());
    assert_eq!(error_of(values.get_unchecked(1)), None);
}

#[test]
fn the_farmer_allows_the_plant_and_nothing_above_it() {
    let world = World::new();
    let farmer = Address::generate(&world.env);
    world.exec(vec![&world.env, world.plant(&farmer, 0)]);
    let (contract, function, arguments) = world.plant(&farmer, 0);
    let plant = AuthorizedInvocation {
        function: AuthorizedFunction::Contract((contract, function, arguments)),
        sub_invocations: std::vec![],
    };
    assert_eq!(world.env.auths(), [(farmer, plant)]);
}

#[test]
#[should_panic(expected = "Error(Object, InvalidInput)")]
fn a_call_of_an_account_fails_all() {
    let world = World::new();
    let account = Address::from_str(&world.env, ACCOUNT);
    let call = (account, symbol_short!("plant"), Vec::new(&world.env));
    world.exec(vec![&world.env, call]);
}

#[test]
#[should_panic(expected = "Error(WasmVm, InvalidAction)")]
fn an_entry_that_is_no_call_fails_all() {
    let world = World::new();
    let broken: Vec<Val> = vec![&world.env, 1u32.into()];
    let arguments: Vec<Val> = vec![&world.env, broken.into()];
    let _: Vec<Val> =
        world
            .env
            .invoke_contract(&world.multicall, &symbol_short!("exec"), arguments);
}
