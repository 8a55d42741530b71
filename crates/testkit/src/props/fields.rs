use icecore_tsm::fields::FieldSet;

use super::own::names_place;

const MAGIC: [u8; 4] = [0, 6, 1, 3];

/// Any bytes are a field index and a log of changes, or damaged; what is read is written in one form.
///
/// Tried three times: as they are; as a field index with a right magic number; and as one record of a log.
pub fn fields(bytes: &[u8]) {
    reads_idx(bytes);
    reads_idx(&[&MAGIC, bytes.get(MAGIC.len()..).unwrap_or(bytes)].concat());
    reads_idxl(bytes);
    let record = bytes.get(8..).unwrap_or(bytes);
    reads_idxl(&[&(record.len() as u64).to_le_bytes(), record].concat());
}

fn reads_idx(bytes: &[u8]) {
    match FieldSet::parse_idx(bytes) {
        Ok(set) => is_written(&set),
        Err(error) => names_place(&error, bytes),
    }
}

fn is_written(set: &FieldSet) {
    let written = set.to_idx_bytes();
    let again = FieldSet::parse_idx(&written).expect("what was written can be read");
    assert_eq!(&again, set);
    assert_eq!(again.to_idx_bytes(), written, "one content has one form");
    let mut other = FieldSet::default();
    for (measurement, field, kind) in set.iter() {
        assert_eq!(set.kind(measurement, field), Some(kind));
        assert_eq!(other.add(measurement, field, kind), Ok(true), "a field once");
    }
}

fn reads_idxl(bytes: &[u8]) {
    let mut set = FieldSet::default();
    let replayed = match set.apply_idxl(bytes) {
        Ok(replayed) => replayed,
        Err(error) => return names_place(&error, bytes),
    };
    is_written(&set);
    // What comes before the torn record is a whole log, and says the same.
    let end = replayed.torn.map_or(bytes.len(), |at| usize::try_from(at.get()).expect("a place in memory"));
    let mut again = FieldSet::default();
    let whole = again.apply_idxl(bytes.get(..end).expect("inside the bytes")).expect("it was applied");
    assert_eq!((whole.records, whole.torn), (replayed.records, None));
    assert_eq!(again, set);
}
