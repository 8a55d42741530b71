//! The least that a server of mapped files can do: map each, and write the map to the socket in one loop.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use icecore_disk::{Disk, RealDisk};

/// Written at a time.
const PIECE_LEN: usize = 1 << 20;

/// Serves the files of a directory, one request after the other, until the process is ended. Says where.
///
/// # Panics
/// When it cannot listen, or a client goes away.
pub(crate) fn serve(dir: &Path) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().expect("a client");
        answer(stream, dir);
    }
}

fn answer(stream: TcpStream, dir: &Path) {
    stream.set_nodelay(true).expect("an option that every socket has");
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).expect("a request");
    let mut line = String::new();
    while stream.read_line(&mut line).expect("a request") > 2 {
        line.clear();
    }
    let name = request.split(' ').nth(1).and_then(|target| target.strip_prefix('/')).expect("a path");
    let map = RealDisk.map(&dir.join(name)).expect("a file that can be mapped");
    let stream = stream.get_mut();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", map.len()).expect("a client that reads");
    for piece in map.chunks(PIECE_LEN) {
        stream.write_all(piece).expect("a client that reads");
    }
}
