//! Decompressed bytes of a file, with the place in the file where decompression failed.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// Reads what a gzip file holds; several members follow each other as one.
pub(super) struct Gunzip<R: Read> {
    inner: MultiGzDecoder<Counted<BufReader<R>>>,
    failure: Failure,
}

/// Why decompression ended early. A share of it stays when the reader is given away.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Rc<RefCell<Option<Failed>>>);

/// What failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// In words.
    pub(super) what: String,
    /// Bytes of the file that were consumed.
    pub(super) at: u64,
    /// Whether the system refused, as opposed to bytes that are no gzip.
    pub(super) is_io: bool,
}

impl Failure {
    pub(super) fn take(&self) -> Option<Failed> {
        self.0.borrow_mut().take()
    }
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(file: R) -> Self {
        let counted = Counted { inner: BufReader::new(file), consumed: 0 };
        Self { inner: MultiGzDecoder::new(counted), failure: Failure::default() }
    }

    /// A share of what will have failed.
    pub(super) fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let outcome = self.inner.read(buf);
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::Interrupted
        {
            let is_io = error.raw_os_error().is_some();
            let what = if is_io { error.to_string() } else { reason(error) };
            let at = self.inner.get_ref().consumed;
            *self.failure.0.borrow_mut() = Some(Failed { what, at, is_io });
        }
        outcome
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the gzip is cut off".to_owned(),
        _ => format!("the gzip does not decompress ({error})"),
    }
}

/// Counts the bytes that were taken, not those that wait in the buffer.
struct Counted<R> {
    inner: R,
    consumed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.consumed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.inner.consume(amount);
    }
}
