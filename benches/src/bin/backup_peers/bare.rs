//! The least that a server of files can do: write each to the socket in one loop.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use icecore_disk::{Disk, RealDisk};

use clap::ValueEnum;

/// Written at a time.
const PIECE_LEN: usize = 1 << 20;
/// Slices of a vectored write: together as much as one without.
const SLICES: usize = 16;

/// How the bytes get to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Out of a map.
    Maps,
    /// The same, sixteen slices a call.
    Vectored,
    /// By `sendfile`, which sees no byte.
    Sendfile,
}

impl Way {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Vectored => "vectored",
            Self::Sendfile => "sendfile",
        }
    }
}

/// Serves the files of a directory, one request after the other, until the process is ended. Says where.
///
/// # Panics
/// When it cannot listen, or a client goes away.
pub(crate) fn serve(dir: &Path, way: Way) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().expect("a client");
        answer(stream, dir, way);
    }
}

fn answer(stream: TcpStream, dir: &Path, way: Way) {
    stream.set_nodelay(true).expect("an option that every socket has");
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).expect("a request");
    let mut line = String::new();
    while stream.read_line(&mut line).expect("a request") > 2 {
        line.clear();
    }
    let name = request.split(' ').nth(1).and_then(|target| target.strip_prefix('/')).expect("a path");
    let path = dir.join(name);
    let stream = stream.get_mut();
    let len = path.metadata().expect("a file").len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").expect("a client that reads");
    let sent = match way {
        Way::Maps => {
            let map = RealDisk.map(&path).expect("a file that can be mapped");
            map.chunks(PIECE_LEN).try_for_each(|piece| stream.write_all(piece))
        }
        Way::Vectored => write_vectored(stream, &RealDisk.map(&path).expect("a file that can be mapped")),
        Way::Sendfile => send_file(stream, &File::open(&path).expect("a file"), len),
    };
    sent.expect("a client that reads");
}

fn write_vectored(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let slices: Vec<_> = bytes.chunks(PIECE_LEN / SLICES).take(SLICES).map(IoSlice::new).collect();
        let written = stream.write_vectored(&slices)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn send_file(stream: &TcpStream, file: &File, len: u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < len {
        if rustix::fs::sendfile(stream, file, Some(&mut offset), PIECE_LEN)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
