//! Durable logs: Icecore's own, and influxd's, which is read and taken over, never written.

pub(crate) mod influx;
pub(crate) mod own;
