use std::io;
use std::path::PathBuf;

use icecore_catalog::ShardId;

/// Why a call on a database failed. Split by what the caller can do; an error about a file names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, an influxd or an Icecore, has the directory open.
    #[error("{} is in use by another process: stop it first", path.display())]
    Locked {
        /// The file whose lock is held.
        path: PathBuf,
    },
    /// There is nothing to open, and the mode does not allow to create it.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file that is not there.
        path: PathBuf,
    },
    /// The directory belongs to somebody else: influxd could not read the private files that this process would write.
    #[error("{} belongs to user {owner} and this process is user {user}: run as its owner, or read only", path.display())]
    ForeignOwner {
        /// The file that has another owner.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who this process is.
        user: u32,
    },
    /// The BoltDB file cannot be read, or its structure is damaged.
    #[error("the key-value store cannot be used")]
    Store(#[source] icecore_kvstore::Error),
    /// What the key-value or SQLite store holds contradicts itself.
    #[error("the metadata cannot be used")]
    Catalog(#[source] icecore_catalog::Error),
    /// A setup request was refused.
    #[error(transparent)]
    Onboard(icecore_catalog::OnboardError),
    /// A bucket was not made.
    #[error(transparent)]
    Bucket(icecore_catalog::BucketError),
    /// A shard is damaged, or the system refused a call on one of its files.
    #[error("shard {id}")]
    Shard {
        /// Its number.
        id: ShardId,
        /// What is wrong and where.
        source: icecore_tsm::Error,
    },
    /// No shard of that number exists here.
    #[error("shard {0} not found")]
    NoSuchShard(ShardId),
    /// No bucket of that name has shards here, and the metadata knows none.
    #[error("bucket {0} not found")]
    NoSuchBucket(String),
    /// The shards of the directory cannot be found.
    #[error("the engine cannot be used")]
    Engine(#[source] icecore_tsm::Error),
    /// No cut could be made of all shards, because others were made all the time.
    #[error("new shards come so fast that no moment has them all: try again")]
    Restless,
    /// A point has no series key.
    #[error("point {number}")]
    Point {
        /// Which, counted from 1.
        number: u32,
        /// What is wrong with its measurement or tags.
        source: icecore_tsm::Error,
    },
    /// The database was opened to read only.
    #[error("the data directory is open to read only")]
    ReadOnly,
    /// The system refused a call.
    #[error("{}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer that an export goes to failed.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

impl Error {
    pub(crate) fn shard(id: u64, source: icecore_tsm::Error) -> Self {
        Self::Shard { id: ShardId(id), source }
    }

    /// Whether it may pass: memory or room on the disk is short, and nothing was acknowledged.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Shard { source, .. } => source.kind() == icecore_tsm::ErrorKind::Unavailable,
            Self::Restless => true,
            _ => false,
        }
    }

    /// Whether bytes on disk are damaged, as opposed to a call that failed or a request that cannot be met.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::Shard { source, .. } => source.is_damage(),
            Self::Catalog(icecore_catalog::Error::Store(error)) => error.is_damage(),
            Self::Catalog(icecore_catalog::Error::Record { .. }) => true,
            _ => false,
        }
    }
}
