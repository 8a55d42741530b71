//! Numbers, times and bars as people read them.

use std::fmt;

use jiff::Timestamp;

/// Eighths of a character, from the left.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A number with commas between thousands.
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (nth, digit) in digits.chars().enumerate() {
            if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Bytes in the largest unit that leaves a whole digit, powers of ten.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
        let text = match units.iter().find(|(_, unit)| self.0 as f64 >= *unit) {
            Some((name, unit)) => format!("{:.1} {name}", self.0 as f64 / unit),
            None => format!("{} B", self.0),
        };
        f.pad(&text)
    }
}

/// Nanoseconds since 1970 as a date, to the last digit that is not zero.
pub(crate) struct Time(pub(crate) i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => f.pad(&time.to_string()),
            Err(_) => f.pad(&format!("{} ns", self.0)),
        }
    }
}

/// A closed range of times; all time has a name.
pub(crate) struct Times(pub(crate) i64, pub(crate) i64);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (i64::MIN, i64::MAX) => f.write_str("all time"),
            (i64::MIN, max) => write!(f, "everything to {}", Time(max)),
            (min, i64::MAX) => write!(f, "everything from {}", Time(min)),
            (min, max) if min == max => Time(min).fmt(f),
            (min, max) => write!(f, "{} to {}", Time(min), Time(max)),
        }
    }
}

/// `1 block`, `2 blocks`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", Count(count), if count == 1 { one } else { many })
}

/// A bar of block characters: `part` of `whole` in `width` characters, at least a trace of what is not nothing.
pub(crate) fn bar(part: u64, whole: u64, width: u32) -> String {
    let eighths = u128::from(part) * u128::from(width) * 8 / u128::from(whole.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(usize::MAX).max(usize::from(part > 0));
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).and_then(|rest| EIGHTHS.get(rest)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_scaled() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1000, 12_345_678].map(|n| Count(n).to_string()).each_ref().map(String::as_str)
        );
        assert_eq!(
            [Bytes(0), Bytes(999), Bytes(1000), Bytes(8_030_225), Bytes(2 << 30)].map(|b| b.to_string()),
            ["0 B", "999 B", "1.0 kB", "8.0 MB", "2.1 GB"]
        );
        assert_eq!(format!("{:>7}|", Count(1000)), "  1,000|");
    }

    #[test]
    fn the_ends_of_time_are_named_and_printed() {
        assert_eq!(Times(i64::MIN, i64::MAX).to_string(), "all time");
        assert_eq!(Times(i64::MIN, -1).to_string(), "everything to 1969-12-31T23:59:59.999999999Z");
        assert_eq!(Times(7, 7).to_string(), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(Time(i64::MAX - 1).to_string(), "2262-04-11T23:47:16.854775806Z");
        assert_eq!(Time(i64::MIN + 1).to_string(), "1677-09-21T00:12:43.145224193Z");
    }

    #[test]
    fn bars_have_eighths_and_show_a_trace_of_little() {
        assert_eq!([bar(0, 10, 4), bar(1, 1000, 4), bar(5, 10, 4), bar(10, 10, 4)], ["", "▏", "██", "████"]);
        assert_eq!(bar(9, 32, 4), "█▏");
    }
}
