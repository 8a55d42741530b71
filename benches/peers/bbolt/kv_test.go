// The other half of benches/benches/kv_peers.rs: bbolt at the same work on the same pairs. Change both or none.
//
//	go test -run '^$' -bench . -count 5 .
//
// Files lie in TMPDIR, as those of the other half. A commit is durable in both, by bbolt's defaults: data synced, then the
// meta page synced.
package bbolt

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

const (
	pairs    = 200_000
	valueLen = 100
	// Pairs of one transaction of the benches that write.
	batch = 100
	// Reads of one round.
	reads = 1000
)

var bucketName = []byte("b")

// scattered gives the numbers below 2^32 in an order without a pattern, each once.
func scattered(n uint32) uint32 { return n * 2_654_435_761 }

func key(n uint32) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func value(n uint32) []byte {
	value := make([]byte, valueLen)
	for at := range value {
		value[at] = byte(n) + byte(at)
	}
	return value
}

func open(b *testing.B) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bench.bolt"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

func put(b *testing.B, db *bbolt.DB, keys []uint32) {
	b.Helper()
	err := db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketName)
		if err != nil {
			return err
		}
		for _, n := range keys {
			if err := bucket.Put(key(n), value(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// filled is a file with all pairs, put in ascending order by transactions of 10,000.
func filled(b *testing.B) *bbolt.DB {
	b.Helper()
	db := open(b)
	db.NoSync = true
	for first := uint32(0); first < pairs; first += 10_000 {
		keys := make([]uint32, 10_000)
		for at := range keys {
			keys[at] = first + uint32(at)
		}
		put(b, db, keys)
	}
	if err := db.Sync(); err != nil {
		b.Fatal(err)
	}
	db.NoSync = false
	return db
}

func BenchmarkGet(b *testing.B) {
	db := filled(b)
	keys := make([][]byte, reads)
	for at := range keys {
		keys[at] = key(scattered(uint32(at)) % pairs)
	}
	b.ResetTimer()
	for b.Loop() {
		_ = db.View(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(bucketName)
			for _, key := range keys {
				if len(bucket.Get(key)) != valueLen {
					b.Fatal("not found")
				}
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/reads, "ns/pair")
}

func BenchmarkScan(b *testing.B) {
	db := filled(b)
	b.ResetTimer()
	for b.Loop() {
		sum := 0
		_ = db.View(func(tx *bbolt.Tx) error {
			cursor := tx.Bucket(bucketName).Cursor()
			for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
				sum += len(key) + len(value)
			}
			return nil
		})
		if sum != pairs*(8+valueLen) {
			b.Fatal(sum)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pairs, "ns/pair")
}

// BenchmarkScanSummed also reads every byte of every value.
func BenchmarkScanSummed(b *testing.B) {
	db := filled(b)
	b.ResetTimer()
	for b.Loop() {
		sum := uint64(0)
		_ = db.View(func(tx *bbolt.Tx) error {
			cursor := tx.Bucket(bucketName).Cursor()
			for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
				sum += binary.LittleEndian.Uint64(value[:8]) + binary.LittleEndian.Uint64(value[valueLen-8:])
			}
			return nil
		})
		if sum == 0 {
			b.Fatal(sum)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pairs, "ns/pair")
}

func BenchmarkWriteAscending(b *testing.B) {
	db, next := open(b), uint32(0)
	b.ResetTimer()
	for b.Loop() {
		keys := make([]uint32, batch)
		for at := range keys {
			keys[at] = next
			next++
		}
		put(b, db, keys)
	}
}

func BenchmarkWriteScattered(b *testing.B) {
	db, next := filled(b), uint32(0)
	b.ResetTimer()
	for b.Loop() {
		keys := make([]uint32, batch)
		for at := range keys {
			keys[at] = scattered(next) % pairs
			next++
		}
		put(b, db, keys)
	}
}

// BenchmarkWriteScatteredUnsynced is what remains of it without the syncs.
func BenchmarkWriteScatteredUnsynced(b *testing.B) {
	db, next := filled(b), uint32(0)
	db.NoSync = true
	b.ResetTimer()
	for b.Loop() {
		keys := make([]uint32, batch)
		for at := range keys {
			keys[at] = scattered(next) % pairs
			next++
		}
		put(b, db, keys)
	}
}

func BenchmarkCopyToFile(b *testing.B) {
	db := filled(b)
	to := filepath.Join(b.TempDir(), "copy.bolt")
	b.ResetTimer()
	for b.Loop() {
		if err := db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(to, 0o600) }); err != nil {
			b.Fatal(err)
		}
	}
	stat, err := os.Stat(to)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(stat.Size())
}
