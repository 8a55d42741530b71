//! `fields.idx` and `fields.idxl`: the fields of a shard and their types, as influxd keeps them (`docs/formats/fields.md`).
//!
//! Invariant: a field of a measurement has one type. Names are plain bytes, without escapes.
//!
//! ```text
//! fields.idx   | 00 06 01 03 | set |                                            the protobuf fills the rest of the file
//! set          | 0a len measurement | …
//! measurement  | 0a len name | 12 len field | …
//! field        | 0a len name | 10 type |
//! fields.idxl  | length u64 little-endian | changes | …
//! changes      | 0a len change | …
//! change       | 0a len measurement name | 12 len field | 18 what |      what: 0 or nothing adds the field, 1 removes all
//! type         1 float, 2 integer, 3 string, 4 boolean, 9 unsigned
//! ```
//!
//! Neither file has a checksum. So everything that influxd does not write is taken for damage: an unknown part, a name or
//! a type that comes twice, a type that is no field's.
//!
//! Names here are what a series key has without `\,` and `\ ` ([`SeriesKey`]). influxd also takes `\=` and `\"` for
//! escapes when it writes these files, and no more when it makes them anew (`docs/http.md` §19 no. 31); whoever
//! looks up such a measurement in a file of influxd has to try both.
//!
//! ```
//! use icecore_tsm::BlockType;
//! use icecore_tsm::fields::FieldSet;
//!
//! let mut fields = FieldSet::default();
//! assert_eq!(fields.add_key(br"disk\ io,host=a#!~#reads", BlockType::Integer), Ok(true));
//! assert_eq!(fields.add_key(br"disk\ io,host=b#!~#reads", BlockType::Float), Err(BlockType::Integer));
//! assert_eq!(fields.kind(b"disk io", b"reads"), Some(BlockType::Integer));
//! assert_eq!(FieldSet::parse_idx(&fields.to_idx_bytes())?, fields);
//! # Ok::<(), icecore_tsm::Error>(())
//! ```

use std::collections::BTreeMap;

use super::column::BlockType;
use super::key;
use super::read::{Cursor, put_uvarint};
use super::series::SeriesKey;
use crate::error::{Error, Result};
use crate::units::Offset;

/// The name of the whole list in the data directory of a shard.
pub const IDX_NAME: &str = "fields.idx";
/// The name of its changes.
pub const IDXL_NAME: &str = "fields.idxl";

const MAGIC: [u8; 4] = [0, 6, 1, 3];

/// Number and wire type of the parts of a message.
const FIRST: u64 = 0x0a;
const SECOND: u64 = 0x12;
const TYPE: u64 = 0x10;
const CHANGE: u64 = 0x18;

const UNKNOWN: &str = "an unknown part of a field index";
const CUT_OFF: &str = "a part of a field index is cut off";

const ADDS: u64 = 0;
const REMOVES: u64 = 1;

/// The field that influxd leaves out here, although it stores its values.
const TIME: &[u8] = b"time";

/// The measurements of a shard, their fields, and the types of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    measurements: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, BlockType>>,
}

/// What a log of changes held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records applied.
    pub records: u64,
    /// Where the last record begins that is cut short. influxd leaves it out, and so does this: it was written by a
    /// request that was not acknowledged, or its length is damaged. Which of both only the keys of the shard can tell.
    pub torn: Option<Offset>,
}

impl FieldSet {
    /// The type of a field.
    pub fn kind(&self, measurement: &[u8], field: &[u8]) -> Option<BlockType> {
        self.measurements.get(measurement)?.get(field).copied()
    }

    /// Adds a field. Returns whether it is new.
    ///
    /// # Errors
    /// The type that the field has, where that is another; nothing changes.
    pub fn add(
        &mut self,
        measurement: &[u8],
        field: &[u8],
        kind: BlockType,
    ) -> std::result::Result<bool, BlockType> {
        match self.kind(measurement, field) {
            Some(known) if known == kind => return Ok(false),
            Some(known) => return Err(known),
            None => {}
        }
        let fields = match self.measurements.get_mut(measurement) {
            Some(fields) => fields,
            None => self.measurements.entry(measurement.to_vec()).or_default(),
        };
        fields.insert(field.to_vec(), kind);
        Ok(true)
    }

    /// Adds the field of a composite key, as influxd does when it makes its index anew. The field `time` is left out, and
    /// what has no field is none.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_key(&mut self, composite: &[u8], kind: BlockType) -> std::result::Result<bool, BlockType> {
        match key::split(composite) {
            Some((series, field)) if field != TIME => {
                self.add(&SeriesKey::new(series).measurement().unescape(), field, kind)
            }
            _ => Ok(false),
        }
    }

    /// Removes a measurement with its fields. Returns whether there was one.
    pub fn remove(&mut self, measurement: &[u8]) -> bool {
        self.measurements.remove(measurement).is_some()
    }

    /// Every field: measurement, name and type, by the bytes of both names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], BlockType)> {
        self.measurements.iter().flat_map(|(measurement, fields)| {
            fields.iter().map(move |(field, kind)| (measurement.as_slice(), field.as_slice(), *kind))
        })
    }

    /// Whether there is no measurement.
    pub fn is_empty(&self) -> bool {
        self.measurements.is_empty()
    }

    /// Reads a whole `fields.idx`.
    ///
    /// # Errors
    /// `Corrupt` with the place; the file is not named.
    pub fn parse_idx(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, Offset::START);
        if cursor.array("shorter than the magic number of fields.idx")? != MAGIC {
            return Err(Error::corrupt("not a fields.idx", Offset::START));
        }
        let mut set = Self::default();
        while !cursor.is_empty() {
            expect(&mut cursor, FIRST)?;
            set.read_measurement(part(&mut cursor)?)?;
        }
        Ok(set)
    }

    fn read_measurement(&mut self, mut message: Cursor<'_>) -> Result<()> {
        let at = message.at();
        let name = name(&mut message)?.to_vec();
        let mut fields = BTreeMap::new();
        while !message.is_empty() {
            expect(&mut message, SECOND)?;
            let at = message.at();
            let (field, kind) = read_field(part(&mut message)?)?;
            if fields.insert(field.to_vec(), kind).is_some() {
                return Err(Error::corrupt("a field twice", at));
            }
        }
        match self.measurements.insert(name, fields) {
            None => Ok(()),
            Some(_) => Err(Error::corrupt("a measurement twice", at)),
        }
    }

    /// Applies a whole `fields.idxl`, record by record.
    ///
    /// # Errors
    /// `Corrupt` with the place, also where a field gets another type; the file is not named, and what came before is
    /// applied.
    pub fn apply_idxl(&mut self, bytes: &[u8]) -> Result<Replayed> {
        let mut cursor = Cursor::new(bytes, Offset::START);
        let mut replayed = Replayed::default();
        while !cursor.is_empty() {
            let at = cursor.at();
            let Some(record) = record(&mut cursor) else {
                return Ok(Replayed { torn: Some(at), ..replayed });
            };
            self.apply_record(record)?;
            replayed.records += 1;
        }
        Ok(replayed)
    }

    fn apply_record(&mut self, mut record: Cursor<'_>) -> Result<()> {
        while !record.is_empty() {
            expect(&mut record, FIRST)?;
            self.apply_change(part(&mut record)?)?;
        }
        Ok(())
    }

    fn apply_change(&mut self, mut message: Cursor<'_>) -> Result<()> {
        let at = message.at();
        let measurement = name(&mut message)?;
        let field = optional(&mut message, SECOND)?;
        match (last_number(&mut message, CHANGE)?, field) {
            (ADDS, Some(field)) => {
                let (field, kind) = read_field(field)?;
                let added = self.add(measurement, field, kind);
                added.map(drop).map_err(|_| Error::corrupt("a field gets another type", at))
            }
            (ADDS, None) => Err(Error::corrupt("a change adds no field", at)),
            (REMOVES, _) => {
                self.remove(measurement);
                Ok(())
            }
            _ => Err(Error::corrupt("a change of an unknown kind", at)),
        }
    }

    /// The whole `fields.idx`; the same for the same fields. Nobody has to write a log of changes.
    pub fn to_idx_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let (mut message, mut inner) = (Vec::new(), Vec::new());
        for (measurement, fields) in &self.measurements {
            message.clear();
            put_name(&mut message, measurement);
            for (field, kind) in fields {
                inner.clear();
                put_name(&mut inner, field);
                put_uvarint(&mut inner, TYPE);
                put_uvarint(&mut inner, number(*kind));
                put_part(&mut message, SECOND, &inner);
            }
            put_part(&mut out, FIRST, &message);
        }
        out
    }
}

/// The types as influxd numbers them here, which is not how TSM does.
fn number(kind: BlockType) -> u64 {
    match kind {
        BlockType::Float => 1,
        BlockType::Integer => 2,
        BlockType::String => 3,
        BlockType::Boolean => 4,
        BlockType::Unsigned => 9,
    }
}

fn kind(number: u64) -> Option<BlockType> {
    use BlockType::{Boolean, Float, Integer, String, Unsigned};
    [Float, Integer, String, Boolean, Unsigned].into_iter().find(|kind| self::number(*kind) == number)
}

/// The next record of a log; `None` when it is cut short.
fn record<'a>(cursor: &mut Cursor<'a>) -> Option<Cursor<'a>> {
    let len = cursor.array("").map(u64::from_le_bytes).ok()?;
    let at = cursor.at();
    Some(Cursor::new(cursor.take(usize::try_from(len).ok()?, "").ok()?, at))
}

fn read_field(mut message: Cursor<'_>) -> Result<(&[u8], BlockType)> {
    let name = name(&mut message)?;
    let at = message.at();
    let kind = kind(last_number(&mut message, TYPE)?);
    Ok((name, kind.ok_or_else(|| Error::corrupt("a type that is no field's", at))?))
}

/// What follows is this part.
fn expect(message: &mut Cursor<'_>, tag: u64) -> Result<()> {
    let at = message.at();
    match message.uvarint(CUT_OFF)? {
        found if found == tag => Ok(()),
        _ => Err(Error::corrupt(UNKNOWN, at)),
    }
}

/// The content of a part with a length.
fn part<'a>(message: &mut Cursor<'a>) -> Result<Cursor<'a>> {
    let len = message.uvarint(CUT_OFF)?;
    let len = usize::try_from(len).map_err(|_| message.corrupt(CUT_OFF))?;
    let at = message.at();
    Ok(Cursor::new(message.take(len, CUT_OFF)?, at))
}

/// The content of a part with a length, if it is the next.
fn optional<'a>(message: &mut Cursor<'a>, tag: u64) -> Result<Option<Cursor<'a>>> {
    let mut ahead = message.clone();
    if ahead.is_empty() || ahead.uvarint(CUT_OFF)? != tag {
        return Ok(None);
    }
    let content = part(&mut ahead)?;
    *message = ahead;
    Ok(Some(content))
}

/// The name that a message begins with; an empty one is left out.
fn name<'a>(message: &mut Cursor<'a>) -> Result<&'a [u8]> {
    Ok(optional(message, FIRST)?.map_or(&[], |name| name.rest()))
}

/// The number that a message ends with; 0 is left out.
fn last_number(message: &mut Cursor<'_>, tag: u64) -> Result<u64> {
    if message.is_empty() {
        return Ok(0);
    }
    expect(message, tag)?;
    let number = message.uvarint("a number in a field index")?;
    match message.is_empty() {
        true => Ok(number),
        false => Err(message.corrupt(UNKNOWN)),
    }
}

/// A name that is empty is not written, as everything in protobuf that has its default.
fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    if !name.is_empty() {
        put_part(out, FIRST, name);
    }
}

fn put_part(out: &mut Vec<u8>, tag: u64, content: &[u8]) {
    put_uvarint(out, tag);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<_> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// The record in docs/formats/fields.md, written by influxd 2.9.1.
    const RECORD: &str = "1b00000000000000 0a19 0a0c77726974655f6572726f7273 1209 0a056572726f72 1003";

    fn sample() -> FieldSet {
        let mut set = FieldSet::default();
        for (measurement, field, kind) in [
            ("cpu", "user", BlockType::Float),
            ("cpu", "cores", BlockType::Integer),
            ("m,x y", "f 1", BlockType::Unsigned),
            ("m,x y", "", BlockType::Boolean),
            ("", "text", BlockType::String),
        ] {
            assert_eq!(set.add(measurement.as_bytes(), field.as_bytes(), kind), Ok(true));
        }
        set
    }

    fn applied(bytes: &[u8]) -> Result<(FieldSet, Replayed)> {
        let mut set = FieldSet::default();
        let replayed = set.apply_idxl(bytes)?;
        Ok((set, replayed))
    }

    /// A log of one record with one change.
    fn log(change: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        put_part(&mut record, FIRST, change);
        [&(record.len() as u64).to_le_bytes()[..], &record].concat()
    }

    #[test]
    fn a_set_reads_back() {
        for set in [FieldSet::default(), sample()] {
            assert_eq!(FieldSet::parse_idx(&set.to_idx_bytes()).unwrap(), set);
        }
        let bytes = hex("00060103 0a0d 0a03637075 1206 0a0175 1002");
        assert!(FieldSet::parse_idx(&bytes).is_err(), "a length too long");
        let bytes = hex("00060103 0a0c 0a03637075 1205 0a0175 1002");
        let set = FieldSet::parse_idx(&bytes).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [(&b"cpu"[..], &b"u"[..], BlockType::Integer)]);
        assert_eq!(set.to_idx_bytes(), bytes);
    }

    #[test]
    fn the_record_of_a_real_log_is_applied() {
        let (set, replayed) = applied(&hex(RECORD)).unwrap();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [(&b"write_errors"[..], &b"error"[..], BlockType::String)]
        );
        assert_eq!(replayed, Replayed { records: 1, torn: None });
    }

    #[test]
    fn changes_are_applied_in_order_and_an_empty_record_is_none() {
        let add = |kind: u8| log(&[&hex("0a016d 1205 0a0166 10")[..], &[kind]].concat());
        let remove = log(&hex("0a016d 1200 1801"));
        let (set, replayed) = applied(&[add(1), remove.clone(), vec![0; 8], add(4)].concat()).unwrap();
        assert_eq!(set.kind(b"m", b"f"), Some(BlockType::Boolean));
        assert_eq!(replayed, Replayed { records: 4, torn: None });
        let error = applied(&[add(1), add(1), add(4)].concat()).unwrap_err();
        assert_eq!(error.to_string(), "damaged: a field gets another type at byte 50");
        let (set, _) = applied(&[add(1), remove].concat()).unwrap();
        assert!(set.is_empty());
    }

    #[test]
    fn a_record_that_is_cut_short_ends_the_log() {
        let record = hex(RECORD);
        for len in 1..record.len() {
            let (set, replayed) = applied(&[&record, &record[..len]].concat()).unwrap();
            assert_eq!(replayed, Replayed { records: 1, torn: Some(Offset::new(35)) }, "{len}");
            assert_eq!(set.iter().count(), 1);
        }
        let (_, replayed) = applied(&[0xff; 8]).unwrap();
        assert_eq!(replayed, Replayed { records: 0, torn: Some(Offset::START) });
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let idx = |digits: &str| FieldSet::parse_idx(&hex(digits)).unwrap_err().to_string();
        assert_eq!(idx("000601"), "damaged: shorter than the magic number of fields.idx at byte 0");
        assert_eq!(idx("00060102"), "damaged: not a fields.idx at byte 0");
        assert_eq!(idx("00060103 08"), "damaged: an unknown part of a field index at byte 4");
        assert_eq!(idx("00060103 0a05 0a"), "damaged: a part of a field index is cut off at byte 6");
        assert_eq!(idx("00060103 0a07 1205 0a0175 1005"), "damaged: a type that is no field's at byte 11");
        assert_eq!(idx("00060103 0a05 1203 0a0175"), "damaged: a type that is no field's at byte 11");
        assert_eq!(
            idx("00060103 0a09 1207 0a0175 1002 1002"),
            "damaged: an unknown part of a field index at byte 13"
        );
        let field = "1205 0a0175 1002";
        assert_eq!(idx(&format!("00060103 0a0e {field} {field}")), "damaged: a field twice at byte 14");
        assert_eq!(idx("00060103 0a00 0a00"), "damaged: a measurement twice at byte 8");
        let idxl = |change: &str| applied(&log(&hex(change))).unwrap_err().to_string();
        assert_eq!(idxl("0a016d"), "damaged: a change adds no field at byte 10");
        assert_eq!(idxl("0a016d 1800 1200"), "damaged: an unknown part of a field index at byte 15");
        assert_eq!(idxl("0a016d 1802"), "damaged: a change of an unknown kind at byte 10");
    }

    #[test]
    fn measurements_of_keys_lose_their_escapes_and_time_is_no_field() {
        let mut set = FieldSet::default();
        for (key, outcome) in [
            (r"m\,x\ y,t=1#!~#f", Ok(true)),
            (r"m\,x\ y,t=2#!~#f", Ok(false)),
            (r"m\=x,t=2#!~#f", Ok(true)),
            ("m#!~#time", Ok(false)),
            ("m", Ok(false)),
        ] {
            assert_eq!(set.add_key(key.replace(r"\\", r"\").as_bytes(), BlockType::Float), outcome, "{key}");
        }
        let found: Vec<_> =
            set.iter().map(|(measurement, ..)| String::from_utf8_lossy(measurement)).collect();
        assert_eq!(found, ["m,x y", r"m\=x"]);
        assert_eq!(set.add_key(b"m\\,x\\ y#!~#f", BlockType::Integer), Err(BlockType::Float));
    }
}
