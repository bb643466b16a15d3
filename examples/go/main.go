// A whole pooler: plants, mines, works and harvests until so many blocks are paid.
//
// Who calls and where the pool is come from variables: POOLER_ID, BLOCKS, TLS_CERT_FILE, TLS_KEY_FILE,
// TLS_CA_FILE, REGISTRY_TARGET, WALLET_TARGET, PLANT_TARGET, WORK_TARGET, HARVEST_TARGET.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/sha3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	harvestv1 "example.com/pooler/gen/kalepool/harvest/v1"
	plantv1 "example.com/pooler/gen/kalepool/plant/v1"
	walletv1 "example.com/pooler/gen/kalepool/wallet/v1"
	workv1 "example.com/pooler/gen/kalepool/work/v1"
)

// Part of a block after which the nonces are submitted: late, but before the next plant.
const submitShare = 0.7

// Every call has a time limit, and is repeated while its service restarts. A request that is repeated
// has the same request_id, so that nothing is done twice.
const serviceConfig = `{"methodConfig": [{
	"name": [{}], "waitForReady": true, "timeout": "240s",
	"retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "5s",
		"backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
}]}`

type pooler struct {
	id      string
	wallet  walletv1.WalletServiceClient
	plant   plantv1.PlantServiceClient
	work    workv1.WorkServiceClient
	harvest harvestv1.HarvestServiceClient
}

func main() {
	ctx := context.Background()
	credentialsOf, err := loadCredentials()
	if err != nil {
		log.Fatal(err)
	}
	connect := func(name, variable, otherwise string) *grpc.ClientConn {
		connection, err := grpc.NewClient(setting(variable, otherwise),
			grpc.WithTransportCredentials(credentialsOf(name)), grpc.WithDefaultServiceConfig(serviceConfig))
		if err != nil {
			log.Fatal(err)
		}
		go tellWhenAway(ctx, name, connection)
		return connection
	}
	p := pooler{
		id:      os.Getenv("POOLER_ID"),
		wallet:  walletv1.NewWalletServiceClient(connect("wallet", "WALLET_TARGET", "127.0.0.1:50052")),
		plant:   plantv1.NewPlantServiceClient(connect("plant", "PLANT_TARGET", "127.0.0.1:50053")),
		work:    workv1.NewWorkServiceClient(connect("work", "WORK_TARGET", "127.0.0.1:50054")),
		harvest: harvestv1.NewHarvestServiceClient(connect("harvest", "HARVEST_TARGET", "127.0.0.1:50055")),
	}
	if len(p.id) != 36 {
		log.Fatal("POOLER_ID must be the id (UUID) of a pooler")
	}
	blocks, err := strconv.Atoi(setting("BLOCKS", "1"))
	if err != nil || blocks < 1 {
		log.Fatal("BLOCKS must be a number from 1")
	}
	last := int64(-1)
	// One more than is asked for: a block is paid when the next one is open.
	for range blocks + 1 {
		if last, err = p.farmNext(ctx, last); err != nil {
			log.Fatal(err)
		}
	}
}

// tellWhenAway says that a service does not answer where its variable says: calls wait for it, in silence.
func tellWhenAway(ctx context.Context, name string, connection *grpc.ClientConn) {
	for state := connection.GetState(); connection.WaitForStateChange(ctx, state); {
		if state = connection.GetState(); state == connectivity.TransientFailure {
			log.Printf("%s does not answer at %s; trying again", name, connection.Target())
		}
	}
}

// farmNext farms the block after last, which is paid meanwhile; it returns the block's index.
func (p *pooler) farmNext(ctx context.Context, last int64) (int64, error) {
	index, err := p.plantable(ctx, last)
	if err != nil {
		return last, err
	}
	plan := &plantv1.PlantRequest{PoolerId: p.id, BlockIndex: &index, RequestId: rand.Text()}
	planted, err := p.plant.Plant(ctx, plan)
	if err != nil {
		return last, fmt.Errorf("plant: %w", err)
	}
	block, head, err := p.opened(ctx, index)
	if err != nil {
		return last, err
	}
	if _, err = p.harvest.HarvestPending(ctx, &harvestv1.HarvestPendingRequest{PoolerId: p.id}); err != nil {
		return last, fmt.Errorf("harvest: %w", err)
	}
	found, err := mine(block, planted.Plantings, budget(block, head))
	if err != nil {
		return last, err
	}
	worked := &workv1.SubmitWorkResponse{}
	// Nobody may be planted: a block can be over before the plants are.
	if len(found) > 0 {
		worked, err = p.work.SubmitWork(ctx, &workv1.SubmitWorkRequest{
			PoolerId: p.id, BlockIndex: &index, Submissions: found, RequestId: rand.Text()})
		if err != nil {
			return last, fmt.Errorf("work: %w", err)
		}
	}
	rewards, err := p.rewardsOf(ctx, last)
	if err != nil {
		return last, fmt.Errorf("rewards: %w", err)
	}
	return int64(index), json.NewEncoder(os.Stdout).Encode(map[string]any{"block": index,
		"planted": planted.SuccessfulPlants, "worked": worked.SubmittedWork, "rewards": rewards})
}

// rewardsOf returns what a block has paid by the pool's records: the pool harvests by itself, too, and
// may have been faster.
func (p *pooler) rewardsOf(ctx context.Context, last int64) (sum int64, err error) {
	if last < 0 {
		return 0, nil
	}
	index := uint32(last)
	request := &harvestv1.ListHarvestsRequest{PoolerId: p.id, BlockIndex: &index, PageSize: 1000}
	for {
		page, err := p.harvest.ListHarvests(ctx, request)
		if err != nil {
			return 0, err
		}
		for _, one := range page.Harvests {
			sum += one.RewardAmount
		}
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			return sum, nil
		}
	}
}

// plantable waits for a block after last that can be planted. No message announces the end of a block's
// time, so it looks.
func (p *pooler) plantable(ctx context.Context, last int64) (uint32, error) {
	for ; ; time.Sleep(time.Second) {
		answer, err := p.wallet.GetBlock(ctx, &walletv1.GetBlockRequest{})
		if err != nil {
			return 0, fmt.Errorf("block: %w", err)
		}
		if head := answer.Head; int64(head.PlantableBlock) > last && !head.Paused {
			return head.PlantableBlock, nil
		}
	}
}

// opened returns a block as soon as wallet has seen it.
func (p *pooler) opened(ctx context.Context, index uint32) (*walletv1.Block, *walletv1.ChainHead, error) {
	for ; ; time.Sleep(time.Second) {
		answer, err := p.wallet.GetBlock(ctx, &walletv1.GetBlockRequest{Index: &index})
		if err == nil {
			return answer.Block, answer.Head, nil
		}
		if status.Code(err) != codes.NotFound {
			return nil, nil, fmt.Errorf("block %d: %w", index, err)
		}
	}
}

// budget returns the time for mining. Blocks go by the ledgers' clock.
func budget(block *walletv1.Block, head *walletv1.ChainHead) time.Duration {
	opened, closes := block.OpenedAt.AsTime(), block.ClosesAt.AsTime()
	submit := opened.Add(time.Duration(submitShare * float64(closes.Sub(opened))))
	return max(0, submit.Sub(head.CloseTime.AsTime()))
}

// mine searches a nonce for every farmer who is planted; they share the time evenly.
func mine(block *walletv1.Block, plantings []*plantv1.Planting, within time.Duration) ([]*workv1.Submission, error) {
	var found []*workv1.Submission
	for _, planting := range plantings {
		if planting.Status != plantv1.PlantingStatus_PLANTING_STATUS_SUCCESS {
			continue
		}
		key, err := rawKey(planting.CustodialWallet)
		if err != nil {
			return nil, err
		}
		nonce := best(block, key, time.Now().Add(within/time.Duration(len(plantings))))
		found = append(found, &workv1.Submission{FarmerId: planting.FarmerId, Nonce: &nonce})
	}
	return found, nil
}

// best returns the nonce with the smallest hash, which has the most zeros. What is hashed is the index
// (4 bytes), the nonce (8), the entropy (32) and the farmer's key (32).
func best(block *walletv1.Block, key []byte, until time.Time) uint64 {
	text := binary.BigEndian.AppendUint32(nil, block.Index)
	text = append(append(append(text, make([]byte, 8)...), block.Entropy...), key...)
	var start [8]byte
	rand.Read(start[:])
	nonce, bestNonce, smallest := binary.BigEndian.Uint64(start[:]), uint64(0), []byte(nil)
	hash := sha3.NewLegacyKeccak256()
	for tries := 0; smallest == nil || tries%1000 != 0 || time.Now().Before(until); tries++ {
		binary.BigEndian.PutUint64(text[4:12], nonce)
		hash.Reset()
		hash.Write(text)
		if digest := hash.Sum(nil); smallest == nil || bytes.Compare(digest, smallest) < 0 {
			bestNonce, smallest = nonce, digest
		}
		nonce++
	}
	return bestNonce
}

// rawKey returns the 32 bytes in an address (G...): version, key and checksum are in base32.
func rawKey(address string) ([]byte, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(address)
	if err != nil || len(raw) != 35 {
		return nil, fmt.Errorf("%q is no address", address)
	}
	return raw[1:33], nil
}

// loadCredentials returns mutual TLS for a service by its name, which its certificate has to have.
func loadCredentials() (func(name string) credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(os.Getenv("TLS_CERT_FILE"), os.Getenv("TLS_KEY_FILE"))
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE and TLS_KEY_FILE must name a certificate and its key: %w", err)
	}
	authorities, err := os.ReadFile(os.Getenv("TLS_CA_FILE"))
	if err != nil {
		return nil, fmt.Errorf("TLS_CA_FILE must name a file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("TLS_CA_FILE holds no certificate")
	}
	return func(name string) credentials.TransportCredentials {
		return credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{own}, RootCAs: roots, ServerName: name})
	}, nil
}

func setting(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}
