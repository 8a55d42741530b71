//! Headers of a tar as influxd's restore expects them: POSIX ustar, regular files, and comments of pax before them.
//!
//! ```text
//! per entry | header 512 | content, padded to 512 |
//! end       | two blocks of zeros |                     no padding to 10,240
//! ```

use std::io;

use icecore_disk::Stat;
pub(crate) use tar::EntryType;

/// The longest extended header of pax that Go's `archive/tar` reads, and so influxd.
pub(crate) const EXTENDED_LEN_MAX: u64 = 1 << 20;
/// Everything in a tar is padded to this.
pub(crate) const BLOCK_LEN: u64 = 512;
/// Two blocks of zeros end an archive; an empty one is nothing else.
pub(crate) static ZEROS: [u8; 1024] = [0; 1024];
pub(crate) const END_LEN: u64 = ZEROS.len() as u64;

const NS_PER_S: i64 = 1_000_000_000;

/// The header of an entry of `size` bytes; `stat` gives owner and mode, `modified_ns` its time.
///
/// Times are rounded to the nearest second, as influxd does; what lies before 1970 becomes 1970.
///
/// # Errors
/// When `path` is too long for ustar: more than 255 bytes, or no `/` where it can be split.
pub(crate) fn header(
    kind: EntryType,
    path: &str,
    size: u64,
    modified_ns: i64,
    stat: &Stat,
) -> io::Result<[u8; 512]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_mode(stat.mode & 0o777);
    header.set_uid(u64::from(stat.uid));
    header.set_gid(u64::from(stat.gid));
    header.set_size(size);
    let seconds = modified_ns.saturating_add(NS_PER_S / 2).div_euclid(NS_PER_S);
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    header.set_entry_type(kind);
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Zeros behind content of `size` bytes.
pub(crate) const fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_LEN) - size
}

#[cfg(test)]
mod tests {
    use icecore_testkit::fixtures;

    use super::*;

    #[test]
    fn a_header_equals_the_one_that_the_real_server_sent_but_for_the_names_of_the_owner() {
        let mut captured: [u8; 512] =
            fixtures::read("kitchen-sink/http/shards/1.tar")[..512].try_into().unwrap();
        let path = "725e5d10302da261/autogen/1/000000003-000000002.tsm";
        let stat = Stat { size: 234_383, modified_ns: 0, mode: 0o100_644, uid: 0, gid: 0 };
        let seconds = i64::from_str_radix("15300621463", 8).unwrap();
        let made =
            header(EntryType::Regular, path, stat.size, (seconds * NS_PER_S) - 400_000_000, &stat).unwrap();
        captured[265..329].fill(0); // owner and group by name: a number is enough, and no lookup can fail
        captured[148..156].copy_from_slice(&made[148..156]); // the checksum covers them
        assert_eq!(made, captured);
        let sum: u32 = made
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        assert_eq!(u32::from_str_radix(std::str::from_utf8(&made[148..155]).unwrap(), 8).unwrap(), sum);
    }

    #[test]
    fn a_path_that_ustar_cannot_hold_is_an_error() {
        let stat = Stat { size: 0, modified_ns: -1, mode: 0o600, uid: 1, gid: 1 };
        assert!(header(EntryType::Regular, &"x".repeat(300), 0, 0, &stat).is_err());
        assert!(
            header(EntryType::Regular, &format!("{}/{}", "p".repeat(150), "n".repeat(90)), 0, -1, &stat)
                .is_ok()
        );
    }
}
