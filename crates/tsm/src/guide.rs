//! A tour of the format: one TSM file, byte by byte, and the deletes beside it.
//!
//! Nothing to call is in here. Each picture is checked by the code below it, which runs with the tests; the rules behind
//! the pictures, and what influxd does with them, are in `docs/formats/`.
//!
//! # A file
//!
//! ```text
//! | magic 16 d1 16 d1 | version 01 | blocks … | index … | index start u64 |        all integers big-endian
//! 0                   4            5          s         size - 8          size
//! ```
//!
//! The footer says where the index begins, the index where each block lies. Blocks have a checksum, the index and the
//! footer have none. The smallest file there is, one point of one key, is the one of this tour:
//!
//! ```
//! # use icecore_disk::{Disk, RealDisk};
//! # use icecore_tsm::{block::Flavor, Column, FileName, TsmWriter, Values, WriterOptions};
//! # let dir = tempfile::tempdir()?;
//! # let name = FileName::parse("000000001-000000001.tsm").unwrap();
//! let mut writer = TsmWriter::new(&RealDisk, dir.path(), name, WriterOptions::default());
//! let column = Column { times: vec![-5_000_000_000], values: Values::Float(vec![1.0]) };
//! writer.column(b"old#!~#v", &column, Flavor::Batch)?;
//! writer.finish()?;
//! let file = RealDisk.map(&dir.path().join("000000001-000000001.tsm"))?;
//!
//! assert_eq!(file.len(), 88);
//! assert_eq!(file[..5], [0x16, 0xd1, 0x16, 0xd1, 1]);
//! assert_eq!(file[80..], 39u64.to_be_bytes(), "the index begins at 39");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The index
//!
//! ```text
//! per key    | key len u16 | key n | type u8 | count u16 | entries 28 * count |        keys ascend by their bytes
//! per entry  | first time i64 | last time i64 | offset u64 | size u32 |                size counts the checksum
//!            0                8               16           24         28
//! ```
//!
//! A key is the series key and the field, joined by `#!~#`: see [`key`](crate::key) and [`series`](crate::series). The
//! type is that of all blocks of the key:
//!
//! | code | type | of the values in memory |
//! |---|---|---|
//! | 0 | float | `Vec<f64>` |
//! | 1 | integer | `Vec<i64>` |
//! | 2 | boolean | [`Bits`](crate::Bits) |
//! | 3 | string | [`Strings`](crate::Strings) |
//! | 4 | unsigned | `Vec<u64>` |
//!
//! ```
//! # use icecore_disk::{Disk, RealDisk};
//! # use icecore_tsm::{block::Flavor, BlockType, Column, FileName, TsmFile, TsmWriter, Values, WriterOptions};
//! # let dir = tempfile::tempdir()?;
//! # let name = FileName::parse("000000001-000000001.tsm").unwrap();
//! # let mut writer = TsmWriter::new(&RealDisk, dir.path(), name, WriterOptions::default());
//! # let column = Column { times: vec![-5_000_000_000], values: Values::Float(vec![1.0]) };
//! # writer.column(b"old#!~#v", &column, Flavor::Batch)?;
//! # writer.finish()?;
//! # let path = dir.path().join("000000001-000000001.tsm");
//! # let file = RealDisk.map(&path)?;
//! let index = &file[39..80];
//! assert_eq!(index[..2], 8u16.to_be_bytes());
//! assert_eq!(index[2..10], *b"old#!~#v");
//! assert_eq!((index[10], &index[11..13]), (BlockType::Float.code(), &1u16.to_be_bytes()[..]));
//! let entry = &index[13..];
//! assert_eq!(entry.len(), 28);
//! assert_eq!(entry[..8], (-5_000_000_000i64).to_be_bytes());
//! assert_eq!(entry[8..16], (-5_000_000_000i64).to_be_bytes());
//! assert_eq!(entry[16..24], 5u64.to_be_bytes());
//! assert_eq!(entry[24..], 34u32.to_be_bytes());
//!
//! // The same, as this crate says it.
//! let opened = TsmFile::open(&RealDisk, &path, name)?;
//! let key = opened.index()?.find(b"old#!~#v").unwrap();
//! let entry = key.entry(0).unwrap();
//! assert_eq!((key.kind, entry.range.min(), entry.offset.get(), entry.size), (BlockType::Float, -5_000_000_000, 5, 34));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A block
//!
//! ```text
//! | crc u32 | type u8 | times len uvarint | times | values |        the crc is CRC-32 (IEEE) of what follows it
//! 0         4         5
//! ```
//!
//! There is no number of points: the times say it, and the values must be as many. What stands in the index for a block
//! counts its four bytes of checksum; the functions of [`block`](crate::block) take what lies behind them.
//!
//! ```text
//! times      | id, power of ten | …         0: every time; 1: packed distances; 2: a run, first, distance, count
//! floats     | 1, 0 | …                     each XORed with the one before, without the zeros around; a NaN at the end
//! integers   | id, 0 | …                    0: every distance; 1: packed; 2: a run. Unsigned ones likewise
//! booleans   | 1, 0 | count uvarint | bits, the first highest |
//! strings    | 1, 0 | snappy of (len uvarint, bytes)* |              one byte: the id in its upper half
//! ```
//!
//! ```
//! use icecore_tsm::block::{self, Flavor, TimesEncoding};
//! use icecore_tsm::{Column, Offset, Values};
//! # fn encoded(times: Vec<i64>, values: Values) -> Result<Vec<u8>, icecore_tsm::Error> {
//! #     let (column, mut bytes) = (Column { times, values }, Vec::new());
//! #     block::encode(&column, 0..column.len(), Flavor::Batch, &mut bytes)?;
//! #     Ok(bytes)
//! # }
//! // Two points ten seconds apart: a run whose distance is 1 * 10^10, and two integers one apart.
//! let bytes = encoded(vec![0, 10_000_000_000], Values::Integer(vec![-3, -2]))?;
//! assert_eq!(bytes[..2], [1, 11], "integers; eleven bytes of times");
//! assert_eq!(bytes[2], 2 << 4 | 10, "a run, counted in 10^10");
//! assert_eq!(bytes[3..11], [0; 8], "first time");
//! assert_eq!(bytes[11..13], [1, 2], "distance and number of points");
//! assert_eq!(bytes[13], 1 << 4, "packed");
//! assert_eq!(bytes[14..22], 5u64.to_be_bytes(), "-3, the sign in the lowest bit");
//! assert_eq!(bytes[22..], [0xf0, 0, 0, 0, 0, 0, 0, 2], "one word with one value: 1, the sign in the lowest bit");
//!
//! // Booleans have the first in the highest bit.
//! let bytes = encoded(vec![0, 1, 3], Values::Boolean([true, false, true].into_iter().collect()))?;
//! assert_eq!(bytes[bytes.len() - 3..], [1 << 4, 3, 0b1010_0000]);
//!
//! let shape = block::describe(&bytes, Offset::START)?;
//! assert_eq!((shape.count, shape.times, shape.values_len), (3, TimesEncoding::Packed, 3));
//! # Ok::<(), icecore_tsm::Error>(())
//! ```
//!
//! influxd has two encoders that write the same points in rare cases to other bytes: [`Flavor`](crate::block::Flavor).
//!
//! # The deletes
//!
//! A file is never changed. What was deleted from it stands in `G-S.tombstone` beside it:
//!
//! ```text
//! v4         | 00 00 15 04 | gzip members of records, one for each time something was deleted |
//! per record | key len u32 | key n | first time i64 | last time i64 |                 both times are deleted too
//! ```
//!
//! ```
//! # use icecore_disk::{Disk, RealDisk};
//! # use icecore_tsm::{block::Flavor, Column, Delete, FileName, Scope, TimeRange, TsmFile, TsmWriter, Values, WriterOptions};
//! # use std::io::Read;
//! # let dir = tempfile::tempdir()?;
//! # let name = FileName::parse("000000001-000000001.tsm").unwrap();
//! # let mut writer = TsmWriter::new(&RealDisk, dir.path(), name, WriterOptions::default());
//! # let column = Column { times: vec![-5_000_000_000], values: Values::Float(vec![1.0]) };
//! # writer.column(b"old#!~#v", &column, Flavor::Batch)?;
//! # writer.finish()?;
//! # let file = TsmFile::open(&RealDisk, &dir.path().join("000000001-000000001.tsm"), name)?;
//! file.delete(&RealDisk, &[Delete { scope: Scope::Series(b"old"), range: TimeRange::ALL }], None)?;
//! let bytes = RealDisk.map(&dir.path().join("000000001-000000001.tombstone"))?;
//! assert_eq!(bytes[..4], [0, 0, 0x15, 4]);
//!
//! let mut records = Vec::new();
//! flate2::bufread::GzDecoder::new(&bytes[4..]).read_to_end(&mut records)?;
//! assert_eq!(records[..4], 8u32.to_be_bytes());
//! assert_eq!(records[4..12], *b"old#!~#v", "the fields of the series, one by one");
//! assert_eq!(records[12..20], i64::MIN.to_be_bytes());
//! assert_eq!(records[20..], i64::MAX.to_be_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which file wins
//!
//! ```text
//! 000000012-000000003.tsm        generation 12, sequence 3
//! ```
//!
//! A flush takes a new generation; a compaction keeps the highest generation of what it joins and raises the sequence.
//! Of points with the same key and time the one in the file with the later name counts: [`Shard`](crate::Shard) and
//! [`Snapshot`](crate::Snapshot) read that way.
//!
//! # In memory
//!
//! Columns are laid out as Arrow arrays are: fixed-width values side by side, booleans as bits with the *first in the
//! lowest* bit, strings as one buffer and the place where each ends. So a block's booleans are turned around bytewise, and
//! nothing else is.
//!
//! ```
//! use icecore_tsm::{Bits, Strings};
//!
//! let bits: Bits = [true, false, true].into_iter().collect();
//! assert_eq!(bits.as_bytes(), [0b101]);
//! let strings: Strings = ["firn", "", "ice"].into_iter().collect();
//! assert_eq!((strings.ends(), strings.as_bytes()), (&[4, 4, 7][..], &b"firnice"[..]));
//! ```
