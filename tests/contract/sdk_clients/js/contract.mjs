// A farmer who knows the farm's id only: the SDK's contract client reads from its code what it offers.
//
// node contract.mjs RPC_URL FRIENDBOT_URL FARM ASSET PASSPHRASE BLOCK_SECONDS
//
// Farms a block, and prints what came of it as one line of JSON.

import { keccak_256 } from "@noble/hashes/sha3";
import {
  Asset,
  BASE_FEE,
  Keypair,
  Operation,
  TransactionBuilder,
  contract,
  nativeToScVal,
  rpc,
  scValToNative,
  xdr,
} from "@stellar/stellar-sdk";

const [rpcUrl, friendbotUrl, farm, assetText, networkPassphrase, blockSeconds] =
  process.argv.slice(2);
const server = new rpc.Server(rpcUrl, { allowHttp: true });
const keypair = Keypair.random();
const farmer = keypair.publicKey();
const [code, issuer] = assetText.split(":");
const asset = new Asset(code, issuer);
const options = {
  rpcUrl,
  networkPassphrase,
  allowHttp: true,
  publicKey: farmer,
  ...contract.basicNodeSigner(keypair, networkPassphrase),
};
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

async function trust() {
  const account = await server.getAccount(farmer);
  const transaction = new TransactionBuilder(account, { fee: BASE_FEE, networkPassphrase })
    .addOperation(Operation.changeTrust({ asset }))
    .setTimeout(60)
    .build();
  transaction.sign(keypair);
  const { hash } = await server.sendTransaction(transaction);
  await server.pollTransaction(hash, { attempts: 60, sleepStrategy: () => 250 });
}

const symbol = (name) => nativeToScVal(name, { type: "symbol" });

async function stored(...parts) {
  const key = xdr.ScVal.scvVec(parts);
  const entry = await server.getContractData(farm, key, rpc.Durability.Temporary);
  return scValToNative(entry.val.contractData().val());
}

async function farmState() {
  const key = xdr.ScVal.scvLedgerKeyContractInstance();
  const entry = await server.getContractData(farm, key, rpc.Durability.Persistent);
  const fields = {};
  for (const item of entry.val.contractData().val().instance().storage()) {
    fields[scValToNative(item.key())[0]] = scValToNative(item.val());
  }
  return fields;
}

function findNonce(index, entropy) {
  const preimage = Buffer.concat([Buffer.alloc(12), Buffer.from(entropy), keypair.rawPublicKey()]);
  preimage.writeUInt32BE(index, 0);
  for (let nonce = 0n; ; nonce += 1n) {
    preimage.writeBigUInt64BE(nonce, 4);
    const hash = Buffer.from(keccak_256(preimage));
    if (hash[0] < 16) return { nonce, hash };
  }
}

async function untilClosed() {
  const end = Number((await farmState()).FarmBlock.timestamp) + Number(blockSeconds);
  while (Number((await server.getLatestLedger()).closeTime) < end) await sleep(0.25);
}

const sent = async (call) => (await (await call).signAndSend()).result;

const funded = await fetch(`${friendbotUrl}?addr=${farmer}`);
if (!funded.ok) throw new Error(`friendbot: ${await funded.text()}`);
await trust();

const wasm = await server.getContractWasmByContractId(farm);
const client = await contract.Client.from({ contractId: farm, ...options });
await sent(client.plant({ farmer, amount: 0n }));
const again = await client.plant({ farmer, amount: 0n });
const planted = await server.getLatestLedger();
const index = (await farmState()).FarmIndex ?? 0;
const { entropy } = await stored(symbol("Block"), nativeToScVal(index, { type: "u32" }));
while ((await server.getLatestLedger()).sequence <= planted.sequence) await sleep(0.1);
const { nonce, hash } = findNonce(index, entropy);
const gap = await sent(client.work({ farmer, hash, nonce }));
await untilClosed();
await sent(client.plant({ farmer, amount: 0n }));
const reward = await sent(client.harvest({ farmer, index }));
const balance = await server.getTrustline(farmer, asset);

console.log(
  JSON.stringify({
    valid: WebAssembly.validate(wasm),
    exports: WebAssembly.Module.exports(new WebAssembly.Module(wasm)).map((one) => one.name),
    functions: client.spec.funcs().map((one) => one.name().toString()),
    errors: client.spec.errorCases().map((one) => one.name().toString()),
    again: again.simulation.error,
    gap,
    reward: reward.toString(),
    balance: balance.balance().toString(),
  }),
);
