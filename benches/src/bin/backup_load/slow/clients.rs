//! Many slow clients in one thread: sockets that do not block, looked at in turns.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use icecore_benches::download::Request;

/// How often each is looked at.
const STEP: Duration = Duration::from_millis(100);
/// Read by a client at each look: 20 KiB a second.
const BYTES_OF_A_STEP: usize = 2 << 10;
/// Between two bytes of a head that is dribbled.
const DRIBBLE: Duration = Duration::from_secs(1);

/// Reads an answer slowly.
struct Reader {
    stream: TcpStream,
    /// Reads the first bytes and nothing more.
    is_stalled: bool,
    read: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server had no more.
    Closed,
    /// The server cut it off, or did not answer with 200.
    Lost,
}

/// Sends the head of a request byte by byte.
struct Dribbler {
    stream: TcpStream,
    begun: Instant,
    sent: u32,
    cut_after: Option<Duration>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Got a 200.
    pub(crate) admitted: usize,
    /// Were cut off, or not answered.
    pub(crate) lost: usize,
    /// Had read the whole answer.
    pub(crate) whole: usize,
    /// Read by all.
    pub(crate) bytes: u64,
    /// Of the clients that dribble: how many there were, and when the last one was cut off.
    pub(crate) dribblers: usize,
    pub(crate) last_cut: Option<Duration>,
}

/// Reads, every tenth client nothing beyond the first bytes, until it is over. `ready` is called when all have asked.
///
/// # Panics
/// When a connection is refused.
pub(crate) fn run(
    requests: &[Request],
    dribblers: usize,
    is_over: &AtomicBool,
    ready: impl FnOnce(),
) -> Seen {
    let mut readers: Vec<Reader> =
        requests.iter().enumerate().map(|(nth, request)| Reader::ask(request, nth)).collect();
    let address = requests.first().map_or("", |request| &request.address);
    let mut dribblers: Vec<Dribbler> = (0..dribblers).map(|_| Dribbler::begin(address)).collect();
    ready();
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        readers.iter_mut().for_each(Reader::look);
        dribblers.iter_mut().for_each(Dribbler::look);
        thread::sleep(STEP.saturating_sub(start.elapsed()));
    }
    let count = |end| readers.iter().filter(|reader| reader.end == Some(end)).count();
    let all_cut = dribblers.iter().all(|dribbler| dribbler.cut_after.is_some());
    Seen {
        admitted: readers.iter().filter(|reader| reader.read > 0 && reader.end != Some(End::Lost)).count(),
        lost: count(End::Lost),
        whole: count(End::Closed),
        bytes: readers.iter().map(|reader| reader.read).sum(),
        dribblers: dribblers.len(),
        last_cut: dribblers.iter().filter_map(|dribbler| dribbler.cut_after).max().filter(|_| all_cut),
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server that is up");
    stream.set_nonblocking(true).expect("an option that every socket has");
    stream
}

/// `None` while there is nothing to read.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    match stream.read(buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

impl Reader {
    fn ask(request: &Request, nth: usize) -> Self {
        let Request { address, target, headers } = request;
        let mut stream = connect(address);
        let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("room for a head in a new socket");
        Self { stream, is_stalled: nth.is_multiple_of(10), read: 0, end: None }
    }

    fn look(&mut self) {
        if self.end.is_some() || self.is_stalled && self.read > 0 {
            return;
        }
        let mut buffer = [0; BYTES_OF_A_STEP];
        match read(&mut self.stream, &mut buffer) {
            None => {}
            Some(Ok(0)) => self.end = Some(End::Closed),
            Some(Ok(_)) if self.read == 0 && !buffer.starts_with(b"HTTP/1.1 200 ") => {
                self.end = Some(End::Lost)
            }
            Some(Ok(len)) => self.read += len as u64,
            Some(Err(_)) => self.end = Some(End::Lost),
        }
    }
}

impl Dribbler {
    fn begin(address: &str) -> Self {
        Self { stream: connect(address), begun: Instant::now(), sent: 0, cut_after: None }
    }

    fn look(&mut self) {
        if self.cut_after.is_some() {
            return;
        }
        let is_due = self.begun.elapsed() >= DRIBBLE * self.sent;
        let text = b"GET /api/v2/backup/shards/1 HTTP/1.1\r\nX-Dribble: ";
        let byte = text.get(self.sent as usize).unwrap_or(&b'x');
        let has_failed = is_due && self.stream.write_all(&[*byte]).is_err();
        self.sent += u32::from(is_due);
        // An answer such as 408 may come before the end.
        let is_cut = matches!(read(&mut self.stream, &mut [0; 512]), Some(Ok(0) | Err(_)));
        if has_failed || is_cut {
            self.cut_after = Some(self.begun.elapsed());
        }
    }
}
