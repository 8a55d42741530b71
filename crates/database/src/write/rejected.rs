//! What influxd says of points that it does not take (`docs/http.md` section 9).

use std::fmt;

use icecore_catalog::Time;
use icecore_tsm::{Conflict, Refused, series};

/// Points of a request that were left out, or a field of them. Prints as influxd's answer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The first reason.
    pub reason: String,
    /// How many points were left out in the shard that the reason is about.
    pub dropped: usize,
    /// The bucket, where influxd names it.
    pub bucket: Option<String>,
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partial write: {} dropped={}", self.reason, self.dropped)?;
        match &self.bucket {
            Some(bucket) => write!(f, " for database: {bucket} for retention policy: {}", super::POLICY),
            None => Ok(()),
        }
    }
}

/// Points of one batch that were left out for one reason.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) batch: usize,
    /// The number of the first line.
    pub(super) line: u32,
    pub(super) points: usize,
    pub(super) reason: Reason,
}

/// A reason in words; whether the point is left out for it.
#[derive(Debug)]
pub(super) struct Reason {
    text: String,
    drops: bool,
}

impl Reason {
    pub(super) fn drops(&self) -> bool {
        self.drops
    }

    fn dropping(text: String) -> Self {
        Self { text, drops: true }
    }

    pub(super) fn conflict(conflict: &Conflict) -> Self {
        let (field, measurement) = (quoted(&conflict.field), quoted(&conflict.measurement));
        let (given, exists) = (conflict.given.name(), conflict.exists.name());
        Self::dropping(format!(
            "field type conflict: input field {field} on measurement {measurement} is type {given}, already exists as type {exists}"
        ))
    }

    pub(super) fn too_long(field: &[u8], measurement: &[u8], len: usize) -> Self {
        let (field, measurement) = (quoted(field), quoted(&plain(measurement)));
        Self::dropping(format!(
            "input field {field} on measurement {measurement} is too long, {len} > 1048576"
        ))
    }

    /// The only field is `time`.
    pub(super) fn only_time(measurement: &[u8]) -> Self {
        let measurement = String::from_utf8_lossy(&plain(measurement)).into_owned();
        Self::dropping(format!(
            "invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid"
        ))
    }

    /// One field of several is `time`; the point is taken without it.
    pub(super) fn stripped(measurement: &[u8]) -> Self {
        let measurement = String::from_utf8_lossy(&plain(measurement)).into_owned();
        let text = format!(
            "invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid. Field \"time\" has been stripped from point."
        );
        Self { text, drops: false }
    }

    /// What no file can hold; influxd takes such points.
    pub(super) fn refused(refused: &Refused, measurement: &[u8]) -> Self {
        Self::dropping(format!("{refused} on measurement {}", quoted(&plain(measurement))))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Points that are older than what retention keeps.
#[derive(Debug)]
pub(super) struct Outdated {
    pub(super) points: usize,
    oldest: (i64, Vec<u8>),
    newest: (i64, Vec<u8>),
    bound_ns: i64,
}

impl Outdated {
    pub(super) fn add(all: &mut Option<Self>, key: &[u8], time_ns: i64, bound_ns: i64) {
        let Some(all) = all else {
            let this = (time_ns, key.to_vec());
            *all = Some(Self { points: 1, oldest: this.clone(), newest: this, bound_ns });
            return;
        };
        all.points += 1;
        if time_ns < all.oldest.0 {
            all.oldest = (time_ns, key.to_vec());
        }
        if time_ns > all.newest.0 {
            all.newest = (time_ns, key.to_vec());
        }
    }

    pub(super) fn text(&self, retention_ns: i64) -> String {
        let point = |(time_ns, key): &(i64, Vec<u8>)| {
            let (key, time, bound) =
                (String::from_utf8_lossy(key), Time::from_ns(*time_ns), Time::from_ns(self.bound_ns));
            format!(
                "point {key} at {time} dropped because it violates a Retention Policy Lower Bound at {bound}"
            )
        };
        let (points, duration) = (self.points, go_duration(retention_ns));
        let (oldest, newest) = (point(&self.oldest), point(&self.newest));
        format!(
            "dropped {points} points outside retention policy of duration {duration} - oldest {oldest}, newest {newest}"
        )
    }
}

/// A measurement without escapes.
fn plain(measurement: &[u8]) -> Vec<u8> {
    series::SeriesKey::new(measurement).measurement().unescape().into_owned()
}

/// As Go prints a string with `%q`, but that every letter counts as printable.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                char if char.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(char))),
                char => out.push(char),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

/// As Go prints a duration of whole seconds: `2h0m0s`, `1m0s`, `30s`.
fn go_duration(ns: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let (seconds, rest) = (ns / SECOND, ns % SECOND);
    let mut fraction = if rest == 0 { String::new() } else { format!(".{rest:09}") };
    fraction.truncate(fraction.trim_end_matches('0').len());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_names_print_as_go_prints_them() {
        let hour = 3_600_000_000_000;
        for (ns, text) in
            [(2 * hour, "2h0m0s"), (hour / 60, "1m0s"), (30_500_000_000, "30.5s"), (720 * hour, "720h0m0s")]
        {
            assert_eq!(go_duration(ns), text);
        }
        assert_eq!(quoted(b"a\"b\\c\n\x01\xff"), r#""a\"b\\c\n\x01\xff""#);
    }
}
