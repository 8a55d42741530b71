// Command bbolt-peer reads, checks and writes Bolt files with bbolt itself, so that the tests of kvstore can compare.
//
//	check FILE                  bbolt's own check; prints what it finds and exits with 1 if that is anything
//	dump FILE                   one JSON line for each bucket and each pair, in key order
//	write FILE SEED PAGESIZE    puts and deletes in several transactions; a file that exists is continued
//	audit DIR                   checks each *.bolt file in DIR and dumps it into a file of that name with .dump behind it
//	churn FILE MILLIS PERSECOND commits to FILE for a while: each pair begins with the transaction that put it, and the
//	                            bucket "sum" has the sum of these numbers; "ready" is printed when the file is full
//	lengthen FILE PAGESIZE      a file with more free pages than the short form of a freelist can count
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: check|dump|audit|write|churn|lengthen PATH ...")
	}
	numbers := make([]int64, 0, 2)
	for _, arg := range args[2:] {
		number, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return err
		}
		numbers = append(numbers, number)
	}
	switch {
	case args[0] == "check" && len(numbers) == 0:
		return check(args[1])
	case args[0] == "dump" && len(numbers) == 0:
		return dump(args[1], os.Stdout)
	case args[0] == "audit" && len(numbers) == 0:
		return audit(args[1])
	case args[0] == "write" && len(numbers) == 2:
		return write(args[1], numbers[0], int(numbers[1]))
	case args[0] == "churn" && len(numbers) == 2:
		return churn(args[1], time.Duration(numbers[0])*time.Millisecond, time.Second/time.Duration(numbers[1]))
	case args[0] == "lengthen" && len(numbers) == 1:
		return lengthen(args[1], int(numbers[0]))
	}
	return fmt.Errorf("unknown command %q", args)
}

func check(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		var found []error
		for err := range tx.Check() {
			found = append(found, err)
		}
		return errors.Join(found...)
	})
}

// line is a bucket when Key is nil. All names are hexadecimal.
type line struct {
	Bucket   []string `json:"bucket"`
	Sequence uint64   `json:"sequence,omitempty"`
	Key      *string  `json:"key,omitempty"`
	Value    *string  `json:"value,omitempty"`
}

func audit(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.bolt"))
	if err != nil {
		return err
	}
	var found []error
	for _, path := range paths {
		if err := auditFile(path); err != nil {
			found = append(found, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(found...)
}

func auditFile(path string) error {
	if err := check(path); err != nil {
		return err
	}
	file, err := os.Create(path + ".dump")
	if err != nil {
		return err
	}
	return errors.Join(dump(path, file), file.Close())
}

func dump(path string, to io.Writer) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return dumpBucket(lines, []string{hex.EncodeToString(name)}, bucket)
		})
	})
	return errors.Join(err, out.Flush())
}

func dumpBucket(lines *json.Encoder, path []string, bucket *bbolt.Bucket) error {
	if err := lines.Encode(line{Bucket: path, Sequence: bucket.Sequence()}); err != nil {
		return err
	}
	return bucket.ForEach(func(k, v []byte) error {
		key := hex.EncodeToString(k)
		if v == nil {
			inside := append(append([]string{}, path...), key)
			return dumpBucket(lines, inside, bucket.Bucket(k))
		}
		value := hex.EncodeToString(v)
		return lines.Encode(line{Bucket: path, Key: &key, Value: &value})
	})
}

func open(path string, seed int64, pageSize int) (*bbolt.DB, error) {
	options := bbolt.Options{PageSize: pageSize, Timeout: time.Second, NoSync: true}
	if seed%2 == 1 {
		options.FreelistType = bbolt.FreelistMapType
	}
	options.NoFreelistSync = seed%4 == 3
	return bbolt.Open(path, 0o600, &options)
}

func write(path string, seed int64, pageSize int) error {
	db, err := open(path, seed, pageSize)
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewSource(seed))
	for range 12 {
		err := db.Update(func(tx *bbolt.Tx) error {
			name := []byte(fmt.Sprintf("bucket-%d", random.Intn(8)))
			if random.Intn(10) == 0 && tx.Bucket(name) != nil {
				return tx.DeleteBucket(name)
			}
			bucket, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			for random.Intn(3) == 0 {
				inside := []byte(fmt.Sprintf("inside-%d", random.Intn(3)))
				if bucket, err = bucket.CreateBucketIfNotExists(inside); err != nil {
					return err
				}
			}
			return change(random, bucket)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func change(random *rand.Rand, bucket *bbolt.Bucket) error {
	if err := bucket.SetSequence(uint64(random.Intn(5))); err != nil {
		return err
	}
	for range 1 << random.Intn(11) {
		key := []byte(fmt.Sprintf("%0*d", 1+random.Intn(40), random.Intn(5000)))
		if random.Intn(3) == 0 {
			if err := bucket.Delete(key); err != nil {
				return err
			}
			continue
		}
		value := make([]byte, random.Intn(200))
		if random.Intn(200) == 0 {
			value = make([]byte, random.Intn(100_000))
		}
		random.Read(value)
		if err := bucket.Put(key, value); err != nil {
			return err
		}
	}
	return nil
}

func churn(path string, duration, pause time.Duration) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewSource(1))
	written := make([]uint64, 3500)
	sum := uint64(0)
	put := func(tx *bbolt.Tx, keys []int, now uint64) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("data"))
		if err != nil {
			return err
		}
		for _, key := range keys {
			value := make([]byte, 3000+random.Intn(2000))
			binary.BigEndian.PutUint64(value, now)
			if err := bucket.Put(binary.BigEndian.AppendUint64(nil, uint64(key)), value); err != nil {
				return err
			}
			sum += now - written[key]
			written[key] = now
		}
		if bucket, err = tx.CreateBucketIfNotExists([]byte("sum")); err != nil {
			return err
		}
		return bucket.Put([]byte("sum"), binary.BigEndian.AppendUint64(nil, sum))
	}
	all := make([]int, len(written))
	for key := range all {
		all[key] = key
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return put(tx, all, 1) }); err != nil {
		return err
	}
	fmt.Println("ready")
	end := time.Now().Add(duration)
	for now := uint64(2); time.Now().Before(end); now++ {
		keys := make([]int, 1+random.Intn(20))
		for at := range keys {
			keys[at] = random.Intn(len(written))
		}
		begin := time.Now()
		if err := db.Update(func(tx *bbolt.Tx) error { return put(tx, keys, now) }); err != nil {
			return err
		}
		time.Sleep(pause - time.Since(begin))
	}
	return nil
}

func lengthen(path string, pageSize int) error {
	db, err := open(path, 0, pageSize)
	if err != nil {
		return err
	}
	defer db.Close()
	name, key := []byte("long"), []byte("key")
	for _, value := range [][]byte{make([]byte, 70_000*pageSize), []byte("short")} {
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			return bucket.Put(key, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
