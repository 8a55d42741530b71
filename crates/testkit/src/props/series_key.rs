use std::borrow::Cow;

use icecore_tsm::key;
use icecore_tsm::series::{self, SeriesKey};

/// Any bytes are a series key. One that is canonical, and no other, is built again of its parts; what is built of the parts
/// of any is canonical and has the same parts.
///
/// In a composite key the series key is what stands before the first separator.
pub fn series_key(bytes: &[u8]) {
    match key::split(bytes) {
        Some((series, field)) => {
            assert!([series, key::SEPARATOR, field].concat() == bytes, "nothing is lost");
            assert!(key::split(series).is_none(), "the first separator counts");
            reads(series);
        }
        None => assert!(!bytes.windows(4).any(|window| window == key::SEPARATOR)),
    }
    reads(bytes);
}

type Tags<'a> = Vec<(Cow<'a, [u8]>, Cow<'a, [u8]>)>;

fn reads(text: &[u8]) {
    let (measurement, mut tags) = parts(text);
    let mut built = b"before".to_vec();
    let borrowed: Vec<_> = tags.iter().rev().map(|(key, value)| (&**key, &**value)).collect();
    let outcome = series::build(&measurement, &borrowed, &mut built);
    let built = built.strip_prefix(b"before").expect("it is appended");
    let is_canonical = SeriesKey::new(text).is_canonical();
    assert_eq!(outcome.is_ok() && built == text, is_canonical, "{}", built.escape_ascii());
    if outcome.is_err() {
        return assert!(built.is_empty(), "all or nothing");
    }
    let (again_measurement, mut again) = parts(built);
    assert!(SeriesKey::new(built).is_canonical(), "{}", built.escape_ascii());
    assert_eq!(again_measurement, measurement);
    tags.sort();
    again.sort();
    assert_eq!(again, tags, "the same tags");
}

fn parts(text: &[u8]) -> (Cow<'_, [u8]>, Tags<'_>) {
    let series = SeriesKey::new(text);
    let tags =
        series.tags().inspect(|tag| assert!(!tag.value.as_stored().is_empty(), "no tag without a value"));
    let tags = tags.map(|tag| (tag.key.unescape(), tag.value.unescape()));
    let stored = series.measurement().as_stored();
    assert!(text.starts_with(stored), "the measurement comes first");
    (series.measurement().unescape(), tags.collect())
}
