use icecore_tsm::manifest::Manifest;

use super::own;

/// Any bytes are a manifest, which is written back as it was read, or damaged.
///
/// Tried twice: as they are; and with a header and a checksum that are right.
pub fn manifest(bytes: &[u8]) {
    reads(bytes);
    reads(&own::mended(*b"iceM", bytes));
}

fn reads(bytes: &[u8]) {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(error) => return own::names_place(&error, bytes),
    };
    assert!(manifest.replaced.iter().all(|name| !manifest.live.contains_key(name)), "live or replaced");
    let written = manifest.to_bytes().expect("what was read can be written");
    assert_eq!(Manifest::parse(&written).expect("what was written can be read"), manifest);
    assert!(own::has_additions(bytes) || written == bytes, "one content has one form");
}
