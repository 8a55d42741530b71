//! Where random bytes come from: an argument, so that a test can repeat what it saw.

use std::io;

use crate::error::{Error, Result};

/// A source of random bytes for ids, tokens and salts.
///
/// Outside tests it must be the one of the operating system; a closure over it is enough:
///
/// ```
/// let mut random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
/// let contents = icecore_catalog::fresh(1_800_000_000_000_000_000, &mut random)?;
/// # Ok::<(), icecore_catalog::Error>(())
/// ```
pub trait Random {
    /// Fills the buffer.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()>;
}

impl<F: FnMut(&mut [u8]) -> io::Result<()>> Random for F {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self(buffer)
    }
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>(random: &mut dyn Random) -> Result<[u8; N]> {
    let mut buffer = [0; N];
    random.fill(&mut buffer).map_err(Error::Random)?;
    Ok(buffer)
}
