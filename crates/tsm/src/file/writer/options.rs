/// Limits and times of the files that a writer makes. The defaults are influxd's.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Points in a block that [`TsmWriter::column`](super::TsmWriter::column) makes, at most: 1,000.
    pub block_points_max: usize,
    /// A file that is longer than this after a block takes no other: 2 GiB, so it can be longer by a block. Whatever it
    /// is set to, a file stays below 4 GiB and its index below 2 GiB: influxd counts them in 32 bits.
    pub file_size_max: u64,
    /// Blocks of one key in a file, at most: 65,535, which is also the most that the format can count.
    pub key_blocks_max: u16,
    /// Bytes of the index that are kept in memory: 64 MiB. What passes this lies in `G-S.idx.tmp` until the file is full.
    pub index_memory_max: usize,
    /// The time of modification that files take, nanoseconds since 1970 UTC; `None` leaves it to the disk.
    pub modified_ns: Option<i64>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            block_points_max: 1000,
            file_size_max: 2 << 30,
            key_blocks_max: u16::MAX,
            index_memory_max: 64 << 20,
            modified_ns: None,
        }
    }
}
