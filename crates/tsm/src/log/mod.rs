//! Durable logs. Here: influxd's, which is read and taken over, never written.

pub(crate) mod influx;
