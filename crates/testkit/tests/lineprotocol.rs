//! What the fuzzer looks for in line protocol, on stable and in seconds: the kept files, and batches put together at
//! random of the pieces that lines are made of.

use icecore_testkit::{props, replay};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const PIECES: &[&str] = &[
    "m",
    "cpu",
    "a",
    "b",
    "f",
    "time",
    "_field",
    ",",
    ",",
    ",",
    "=",
    "=",
    "=",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "\\",
    "\\",
    "\\\\",
    "\\,",
    "\\=",
    "\\ ",
    "\\\"",
    "\"",
    "\"",
    "\"a b\"",
    "\"\"",
    "1",
    "-",
    ".",
    "0.5",
    "1e5",
    "e",
    "i",
    "u",
    "7i",
    "7u",
    "t",
    "false",
    "#",
    "\t",
    "\0",
    "\r",
    " 1700000000",
    "9223372036854775806",
    "18446744073709551615u",
    "m f=1",
    "m,a=1 f=\"",
    "x=1,y=2i",
    "é",
];

#[test]
fn any_bytes_are_points_and_bad_lines() {
    replay("lineprotocol", props::lineprotocol);
    let config = ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(choice in 0u8..4, pieces in vec(select(PIECES), 0..40))| {
        let mut bytes = vec![choice];
        bytes.extend_from_slice(pieces.concat().as_bytes());
        props::lineprotocol(&bytes);
    });
}

#[test]
fn lines_with_bytes_changed_are_points_and_bad_lines() {
    let line = "m\\,n,tag=\\=x,a=b key\\ 1=\"a\\\"b\",k=-1.5e3,n=7i,u=8u,t=t,f=False -1700000000123456789\n";
    let change = (0..line.len() * 3, prop_oneof![select(b",= \"\\\n\t0-.eiu".as_slice()), any::<u8>()]);
    let config = ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(choice in 0u8..4, changes in vec(change, 0..6))| {
        let mut bytes = [&[choice], line.repeat(3).as_bytes()].concat();
        for (at, byte) in changes {
            bytes[at + 1] = byte;
        }
        props::lineprotocol(&bytes);
    });
}
