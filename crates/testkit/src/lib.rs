//! Fixtures, models and properties shared by the tests of Icecore. Not for use outside tests.

pub mod fixtures;
