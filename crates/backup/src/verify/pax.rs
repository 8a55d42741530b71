//! Extended headers of POSIX pax, which stand before the header of an entry and speak of it. Icecore's are comments and nothing else.
//!
//! ```text
//! per record | length of the whole record, decimal | " " | key | "=" | value | "\n" |
//! ```

use std::io::{self, Read};

use super::archive::Head;
use super::report::FileReport;
use crate::ustar::EXTENDED_LEN_MAX;

/// Looks at an extended header.
///
/// # Errors
/// What the system says of the archive.
pub(super) fn look(archive: &mut FileReport, head: &Head, content: &mut impl Read) -> io::Result<()> {
    if head.size > EXTENDED_LEN_MAX {
        let what = format!("an extended header of {} bytes, more than influxd reads", head.size);
        archive.damaged("archive", what, Some(head.at));
        return Ok(());
    }
    let mut records = Vec::new();
    content.take(EXTENDED_LEN_MAX).read_to_end(&mut records)?;
    match only_comments(&records) {
        Some(true) => {}
        Some(false) => {
            archive.note("ignored", format!("{} has attributes that are not looked at", head.name))
        }
        None => archive.damaged("archive", "an extended header that is none", Some(head.at)),
    }
    Ok(())
}

/// `None`: these are no records.
fn only_comments(mut records: &[u8]) -> Option<bool> {
    let mut is_comment = true;
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
        let (record, rest) = records.split_at_checked(len)?;
        let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        is_comment &= pair.get(..equals) == Some(b"comment");
        records = rest;
    }
    Some(is_comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths() {
        let only = |text: &str| only_comments(text.as_bytes());
        assert_eq!(only(""), Some(true));
        assert_eq!(only("13 comment=a\n"), Some(true));
        assert_eq!(only("13 comment=\n\n13 comment=b\n"), Some(true), "a value may have any byte");
        assert_eq!(only("13 comment=a\n9 uid=12\n"), Some(false));
        for text in [
            "13 comment=a",
            "14 comment=a\n",
            "12 comment=a\n",
            "comment=a\n",
            "5 ab\n",
            "0 a=\n",
            "2 ",
            " =\n",
        ] {
            assert_eq!(only(text), None, "{text:?}");
        }
    }
}
