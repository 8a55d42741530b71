// Blocks of 1,000 points through influxd's batch codecs: the other half of crates/tsm/benches/block.rs.
//
// The points are those of that file, made by the same arithmetic (splitmix64): change both or none. Each block's checksum
// stands here and there, so that either side refuses to measure other bytes than the other.
//
// Copied into the sources of influxdb 2.9.1, as $INFLUXDB_SRC/tsdb/engine/tsm1/codecs_test.go, and run there:
//
//	go test -run '^$' -bench '^BenchmarkCodecs$' ./tsdb/engine/tsm1/
//
// What is measured is what ours does: from the bytes of a block to times and values in buffers that are used again, and
// back to the bytes of one block. influxd's encoders of times and integers destroy their input, so it is copied before
// each round; the line "copy" says what a list costs and is to be taken off the lines "encode", twice where the values
// are integers.
package tsm1

import (
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/influxdata/influxdb/v2/tsdb"
)

const codecPoints = 1000

// codecNoise gives numbers without a pattern, the same in every run (splitmix64).
func codecNoise(seed uint64) func() uint64 {
	index := uint64(0)
	return func() uint64 {
		index++
		bits := seed + index*0x9e3779b97f4a7c15
		bits = (bits ^ bits>>30) * 0xbf58476d1ce4e5b9
		bits = (bits ^ bits>>27) * 0x94d049bb133111eb
		return bits ^ bits>>31
	}
}

func codecWalk(seed uint64) func() int64 {
	next, value := codecNoise(seed), int64(1_000_000)
	return func() int64 {
		value += int64(next()%2001) - 1000
		return value
	}
}

// codecList calls make once for each point, in order.
func codecList[T any](make func(index int) T) []T {
	var list []T
	for index := 0; index < codecPoints; index++ {
		list = append(list, make(index))
	}
	return list
}

func codecRegular() []int64 {
	return codecList(func(index int) int64 { return int64(index) * 10_000_000_000 })
}

// codecIrregular is every ten seconds and up to a second later, in milliseconds.
func codecIrregular() []int64 {
	jitter := codecNoise(1)
	return codecList(func(index int) int64 {
		return int64(index)*10_000_000_000 + int64(jitter()%1000)*1_000_000
	})
}

func codecWord(index uint64) string {
	return []string{"ok", "degraded", "connection reset by peer", "timeout while waiting for the disk"}[index%4]
}

// codecCase is a column with a codec for whole blocks. encode leaves the block in a buffer of its own.
type codecCase struct {
	name   string
	sum    uint32
	encode func() []byte
	decode func(block []byte) error
}

// codecTimes encodes times again and again in the same buffers.
func codecTimes(times []int64) func() []byte {
	input, out := make([]int64, len(times)), []byte(nil)
	return func() []byte {
		copy(input, times)
		return codecMust(&out, func() ([]byte, error) { return TimeArrayEncodeAll(input, out) })
	}
}

func codecMust(out *[]byte, encode func() ([]byte, error)) []byte {
	bytes, err := encode()
	if err != nil {
		panic(err)
	}
	*out = bytes
	return bytes
}

func codecFloats(name string, sum uint32, times []int64, values []float64) codecCase {
	var block, out []byte
	var back tsdb.FloatArray
	before := codecTimes(times)
	return codecCase{name, sum, func() []byte {
		behind := codecMust(&out, func() ([]byte, error) { return FloatArrayEncodeAll(values, out) })
		block = packBlock(block, BlockFloat64, before(), behind)
		return block
	}, func(block []byte) error { return DecodeFloatArrayBlock(block, &back) }}
}

func codecIntegers(name string, sum uint32, times, values []int64) codecCase {
	var block, out []byte
	var back tsdb.IntegerArray
	before, input := codecTimes(times), make([]int64, len(values))
	return codecCase{name, sum, func() []byte {
		copy(input, values)
		behind := codecMust(&out, func() ([]byte, error) { return IntegerArrayEncodeAll(input, out) })
		block = packBlock(block, BlockInteger, before(), behind)
		return block
	}, func(block []byte) error { return DecodeIntegerArrayBlock(block, &back) }}
}

func codecBooleans(name string, sum uint32, times []int64, values []bool) codecCase {
	var block, out []byte
	var back tsdb.BooleanArray
	before := codecTimes(times)
	return codecCase{name, sum, func() []byte {
		behind := codecMust(&out, func() ([]byte, error) { return BooleanArrayEncodeAll(values, out) })
		block = packBlock(block, BlockBoolean, before(), behind)
		return block
	}, func(block []byte) error { return DecodeBooleanArrayBlock(block, &back) }}
}

func codecStrings(name string, sum uint32, times []int64, values []string) codecCase {
	var block, out []byte
	var back tsdb.StringArray
	before := codecTimes(times)
	return codecCase{name, sum, func() []byte {
		behind := codecMust(&out, func() ([]byte, error) { return StringArrayEncodeAll(values, out) })
		block = packBlock(block, BlockString, before(), behind)
		return block
	}, func(block []byte) error { return DecodeStringArrayBlock(block, &back) }}
}

func codecCases() []codecCase {
	times, irregular := codecRegular(), codecIrregular()
	equal := codecList(func(int) int64 { return 7 })
	packed, small, raw := codecWalk(2), codecNoise(3), codecNoise(4)
	random, walk, steps := codecNoise(5), codecWalk(6), codecNoise(8)
	booleans, messages := codecNoise(9), codecNoise(7)
	return []codecCase{
		codecIntegers("times/run", 0xe56d302c, times, equal),
		codecIntegers("times/packed", 0xf87281a4, irregular, equal),
		codecIntegers("integers/run", 0x013f3bad, times, codecList(func(index int) int64 { return int64(index) * 3 })),
		codecIntegers("integers/packed", 0x17c9006d, times, codecList(func(int) int64 { return packed() })),
		codecIntegers("integers/small", 0x88b7ed0a, times, codecList(func(int) int64 { return int64(small() % 4) })),
		codecIntegers("integers/raw", 0x8d76dcd4, times, codecList(func(int) int64 { return int64(raw()) })),
		codecFloats("floats/constant", 0x17601b15, times, codecList(func(int) float64 { return 21.5 })),
		codecFloats("floats/random", 0x9aafa17a, times,
			codecList(func(int) float64 { return float64(random()>>11) / float64(uint64(1)<<53) })),
		codecFloats("floats/walk", 0x740faf05, times, codecList(func(int) float64 { return float64(walk()) / 100 })),
		codecFloats("floats/steps", 0xa96290c0, times, codecList(func(int) float64 { return float64(steps() % 100) })),
		codecBooleans("booleans", 0xd91672de, times, codecList(func(int) bool { return booleans()&1 == 1 })),
		codecStrings("strings/messages", 0x0847ad15, times, codecList(func(int) string {
			bits := messages()
			return fmt.Sprintf("%s on host-%d", codecWord(bits), bits>>40)
		})),
		codecStrings("strings/short", 0xace68670, times,
			codecList(func(index int) string { return codecWord(uint64(index % 2)) })),
	}
}

func BenchmarkCodecs(b *testing.B) {
	for _, each := range codecCases() {
		block := append([]byte(nil), each.encode()...)
		if sum := crc32.ChecksumIEEE(block); sum != each.sum {
			b.Fatalf("%s: the block's checksum is %#08x: these are not the points of the other side", each.name, sum)
		}
		b.Run("decode/"+each.name, func(b *testing.B) {
			for range b.N {
				if err := each.decode(block); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encode/"+each.name, func(b *testing.B) {
			for range b.N {
				each.encode()
			}
		})
	}
	from, to := codecRegular(), make([]int64, codecPoints)
	b.Run("copy", func(b *testing.B) {
		for range b.N {
			copy(to, from)
		}
	})
}
