//! The codecs alone, without a file: points to bytes and back, and what can be said of a block without decoding it.
#![expect(clippy::panic_in_result_fn, reason = "an example asserts what it shows")]

use icecore_tsm::block::{self, Flavor};
use icecore_tsm::{BlockType, Column, Offset, Strings, Values};

pub(crate) fn main() -> Result<(), icecore_tsm::Error> {
    let minutes: Vec<i64> = (0..1_000).map(|minute| minute * 60_000_000_000).collect();
    let columns = [
        ("a counter", Values::Integer((0..1_000).map(|n| n * 17 + n % 3).collect())),
        ("a constant", Values::Float(vec![21.5; 1_000])),
        ("a slow wave", Values::Float((0..1_000).map(|n| (f64::from(n) / 90.0).sin()).collect())),
        ("a switch", Values::Boolean((0..1_000).map(|n| n % 7 == 0).collect())),
        (
            "a state",
            Values::String(Strings::from_iter(
                (0..1_000).map(|n| if n % 9 == 0 { "melting" } else { "frozen" }),
            )),
        ),
    ];
    let mut bytes = Vec::new();
    let mut back = Column::new(BlockType::Float);
    for (what, values) in columns {
        let column = Column { times: minutes.clone(), values };
        bytes.clear();
        block::encode(&column, 0..1_000, Flavor::Batch, &mut bytes)?;

        let shape = block::describe(&bytes, Offset::START)?;
        println!(
            "{what:<12} {:>6} bytes: times {} in {} bytes, values {} in {}",
            bytes.len(),
            shape.times.name(),
            shape.times_len,
            shape.values.name(),
            shape.values_len,
        );
        let bounds = block::bounds(&bytes, Offset::START)?;
        assert_eq!((bounds.count, bounds.first, bounds.last), (1_000, 0, 999 * 60_000_000_000));

        block::decode(&bytes, Offset::START, &mut back)?; // memory is kept from block to block
        assert_eq!(back, column);
    }
    Ok(())
}
