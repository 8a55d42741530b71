//! Line protocol to points, as influxd 2.9.1 parses it: which lines are taken, what is in them, and the text of every
//! error. `docs/http.md` section 10 has the rules.
//!
//! Bytes in, points out. It is not a client and not a database: it opens nothing, asks no clock, knows no types of
//! fields but those in the line, and does not decide what becomes of a batch with a bad line (influxd's write API
//! refuses all of it). Whatever the bytes, it ends in time linear in them and does not panic.
//!
//! ```
//! use icecore_lineprotocol::{Parser, Precision, Value};
//!
//! let body = b"cpu,host=b,dc=x user=1.5,procs=12i 1700000000\ncpu user=\ncpu msg=\"a \\\"b\\\"\"";
//! let now_ns = 1_700_000_001_999_999_999;
//!
//! let mut parser = Parser::new(); // keeps its buffers from batch to batch
//! let mut lines = parser.lines(body, Precision::Seconds, now_ns);
//! let mut errors = icecore_lineprotocol::Errors::default();
//! let mut composite = Vec::new();
//! let mut points = Vec::new();
//! while let Some(line) = lines.next_line() {
//!     match line {
//!         Err(error) => errors.push(&error),
//!         Ok(line) => {
//!             for field in line.fields() {
//!                 let key = String::from_utf8_lossy(line.composite(field.key, &mut composite));
//!                 points.push(format!("{key} {:?} at {}", field.value, line.time_ns()));
//!             }
//!         }
//!     }
//! }
//! assert_eq!(points, [
//!     "cpu,dc=x,host=b#!~#user Float(1.5) at 1700000000000000000",
//!     "cpu,dc=x,host=b#!~#procs Integer(12) at 1700000000000000000",
//!     "cpu#!~#msg String([97, 32, 34, 98, 34]) at 1700000001000000000",
//! ]);
//! assert_eq!(errors.to_string(), "unable to parse 'cpu user=': missing field value");
//! # assert_eq!(Value::Float(1.5), Value::Float(1.5));
//! ```

mod careful;
mod error;
mod fields;
mod key;
mod line;
mod number;
mod parser;
mod split;
mod time;

pub use error::{Errors, LineError, Reason};
pub use key::LEN_MAX;
pub use line::{Field, Fields, Line, Value};
pub use parser::{Lines, Parser};
pub use split::whole_lines;
pub use time::{Precision, TIME_MAX, TIME_MIN, UnknownPrecision};
