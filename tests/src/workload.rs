//! Points for everything a server may be sent: all types, odd names, strings of several lines, irregular times in any
//! order, values that are written over.
//!
//! Lines are canonical (tags sorted, names escaped as they are stored), so that [`crate::line_protocol`] reads what a
//! server has to answer.

use std::fmt::Write;

use icecore_testkit::Random;

/// 2024-01-01, a Monday.
pub const MONDAY_NS: i64 = 1_704_067_200_000_000_000;
/// Seven days, as long as a shard group of a bucket that keeps everything.
pub const WEEK_NS: i64 = 7 * 86_400_000_000_000;
/// The first and the last time that a point may have. They lie in the first and the last shard group there can be.
pub const EXTREMES_NS: [i64; 2] = [i64::MIN + 2, i64::MAX - 1];

/// Series keys as they are stored.
const SERIES: [&str; 7] = [
    "cpu,host=a",
    "cpu,dc=x\\ y,host=b\\,c",
    "cpu,host=back\\slash",
    "mem\\,free\\ x,k\\=1=v\\=2,ümläut=wörth",
    "no_tags",
    "m=eq,tag=\"quoted\"",
    "disk,path=/var/lib/#1",
];

/// A writer with a seed.
#[derive(Debug)]
pub struct Workload {
    random: Random,
}

impl Workload {
    /// Equal seeds give equal lines.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// So many points in any order, of times from `start_ns` on. They lie on a grid of as many steps of a second, a
    /// nanosecond or two behind it, so that about a third of the values are written over.
    pub fn lines(&mut self, start_ns: i64, points: usize) -> String {
        let mut text = String::new();
        for _ in 0..points {
            let series = SERIES[self.random.below(SERIES.len())];
            let step = i64::try_from(self.random.below(points / 4 + 1)).unwrap();
            let time_ns = start_ns + step * 1_000_000_000 + step % 3;
            self.line(series, time_ns, &mut text);
        }
        text
    }

    /// A point with some of the fields.
    pub fn line(&mut self, series: &str, time_ns: i64, text: &mut String) {
        text.push_str(series);
        let first = self.random.below(6);
        let mut separator = ' ';
        for field in first..(first + 1 + self.random.below(3)).min(6) {
            text.push(separator);
            separator = ',';
            self.field(field, text);
        }
        writeln!(text, " {time_ns}").unwrap();
    }

    fn field(&mut self, field: usize, text: &mut String) {
        match field {
            0 => write!(text, "f={}", self.float()).unwrap(),
            1 => write!(text, "i={}i", self.bits().cast_signed()).unwrap(),
            2 => write!(text, "u={}u", self.bits()).unwrap(),
            3 => write!(text, "b={}", self.random.one_in(2)).unwrap(),
            4 => write!(text, "s=\"{}\"", self.string()).unwrap(),
            _ => write!(text, "a\\ b\\=c\\,d={:e}", self.float()).unwrap(),
        }
    }

    fn float(&mut self) -> f64 {
        const ODD: [f64; 5] = [-0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1];
        match self.random.below(4) {
            0 => ODD[self.random.below(ODD.len())],
            1 => Some(f64::from_bits(self.random.next_u64()))
                .filter(|float| float.is_finite())
                .unwrap_or(1e300),
            _ => self.random.below(1000) as f64 / 8.0,
        }
    }

    fn bits(&mut self) -> u64 {
        match self.random.below(4) {
            0 => [0, 1, u64::MAX, i64::MAX.cast_unsigned(), 1 << 63][self.random.below(5)],
            1 => self.random.next_u64(),
            _ => self.random.below(5000) as u64,
        }
    }

    /// As it stands between quotes.
    fn string(&mut self) -> String {
        const WORDS: [&str; 7] =
            ["ok", "", "two\nlines\n", "said \\\"no\\\", = and", "tab\t", "nöt ascii ☃", "c:\\\\dir"];
        match self.random.below(20) {
            0 => (0..200)
                .map(|_| char::from(b'a' + u8::try_from(self.random.below(26)).expect("a letter")))
                .collect(),
            word => WORDS[word % WORDS.len()].to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line_protocol;

    #[test]
    fn equal_seeds_give_equal_lines_and_some_of_the_values_are_written_over() {
        let text = Workload::new(1).lines(MONDAY_NS, 2000);
        assert_eq!(text, Workload::new(1).lines(MONDAY_NS, 2000));
        assert_ne!(text, Workload::new(2).lines(MONDAY_NS, 2000));
        let values = line_protocol::parse_later_wins(&text);
        let written: usize = text.matches("i=").count() + text.matches("f=").count();
        assert!(values.len() > 1000 && written > 500, "{} {written}", values.len());
    }
}
