//! The service over a double of a data directory, through real sockets.

mod limits;
mod logging;
mod metrics;
mod routing;
mod serving;
mod streams;
mod writing;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use icecore_backup::{Boundary, Selection};
use icecore_catalog::{
    Action, Authorization, Bucket, BucketFilter, BucketKind, Id, LabeledBucket, NewBucket, Organization,
    OrganizationFilter, Page, Permission, Resource, ResourceType, Status, Time, operator_permissions,
};
use icecore_database::{Cut, Precision};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::backend::{Backend, Caller, WantedShard};
use crate::download::{BrokenOff, Chunks, Download};
use crate::problem::{Code, Problem};
use crate::range::Part;
use crate::{Options, Service, Stopped, serve};

type ShardFn = dyn Fn(u64, &Selection) -> Result<Download, Problem> + Send + Sync;
type WriteFn = dyn Fn(Id, Precision, &[u8]) -> Result<(), Problem> + Send + Sync;

/// Of everything that the double has.
const ID: Id = Id::ONE;

/// Knows the tokens `operator`, `reader`, `elsewhere` (who may write buckets of another organization), `inactive` and `orphan`, and panics when asked for the KV file.
pub(crate) struct Double {
    shard: Box<ShardFn>,
    write: Box<WriteFn>,
    setups: Mutex<Vec<Vec<u8>>>,
}

impl Double {
    fn new(shard: impl Fn(u64, &Selection) -> Result<Download, Problem> + Send + Sync + 'static) -> Self {
        let write = |_, _, _: &[u8]| Ok(());
        Self { shard: Box::new(shard), write: Box::new(write), setups: Mutex::default() }
    }

    /// Takes writes.
    fn writing(write: impl Fn(Id, Precision, &[u8]) -> Result<(), Problem> + Send + Sync + 'static) -> Self {
        Self { write: Box::new(write), ..Self::empty() }
    }

    /// Has no shard.
    fn empty() -> Self {
        Self::new(|id, _| Err(Problem::new(Code::NotFound, format!("shard {id} not found"))))
    }
}

#[expect(clippy::panic_in_result_fn, reason = "one panic is planted")]
impl Backend for Double {
    fn caller(&self, token: &str) -> Result<Option<Caller>, Problem> {
        let all = || operator_permissions().collect();
        let (status, permissions) = match token {
            "operator" | "orphan" => (Status::Active, all()),
            "reader" => (Status::Active, Vec::new()),
            "elsewhere" => (Status::Active, vec![writes_buckets_of(Id::new(2))]),
            "inactive" => (Status::Inactive, all()),
            _ => return Ok(None),
        };
        let authorization = Authorization {
            id: ID,
            token: None,
            hashed_token: None,
            status,
            description: String::new(),
            org_id: ID,
            user_id: Some(ID),
            permissions,
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
        };
        Ok(Some(Caller { user_is_active: token != "orphan", authorization }))
    }

    fn organizations(
        &self,
        filter: &OrganizationFilter,
        page: &Page,
        _: &Authorization,
    ) -> Result<Vec<Organization>, Problem> {
        Err(Problem::new(Code::Conflict, format!("{filter:?} {page:?}")))
    }

    fn buckets(
        &self,
        filter: &BucketFilter,
        page: &Page,
        _: &Authorization,
    ) -> Result<Vec<LabeledBucket>, Problem> {
        Err(Problem::new(Code::Conflict, format!("{filter:?} {page:?}")))
    }

    fn create_bucket(&self, new: &NewBucket) -> Result<Bucket, Problem> {
        Ok(bucket(&new.name))
    }

    fn bucket(&self, org_id: Option<Id>, org: &str, name: &str) -> Result<Bucket, Problem> {
        match (org_id, org, name) {
            (_, "o", "b") | (Some(ID), _, "b") | (_, _, "0000000000000001") => Ok(bucket(name)),
            _ => Err(Problem::new(Code::NotFound, format!("{org_id:?} {org:?} {name:?}"))),
        }
    }

    fn write(&self, bucket: Id, precision: Precision, batch: &[u8]) -> Result<(), Problem> {
        (self.write)(bucket, precision, batch)
    }

    fn is_onboarding(&self) -> Result<bool, Problem> {
        Ok(self.setups.lock().unwrap().is_empty())
    }

    fn onboard(&self, request: &[u8]) -> Result<Bytes, Problem> {
        self.setups.lock().unwrap().push(request.to_vec());
        Ok(Bytes::from_static(b"{}"))
    }

    fn kv(&self) -> Result<Download, Problem> {
        panic!("the <store> is gone")
    }

    fn metadata(&self, boundary: &Boundary) -> Result<Download, Problem> {
        Ok(known(vec![format!("--{boundary}--").into_bytes()]))
    }

    fn cut(&self, _: &Boundary) -> Result<(Arc<Cut>, Download), Problem> {
        Err(Problem::internal("no cut of a double"))
    }

    fn cut_shard(&self, id: u64) -> Result<(Arc<Cut>, i64), Problem> {
        Err(Problem::new(Code::NotFound, format!("shard {id} not found")))
    }

    fn shard(&self, wanted: &WantedShard) -> Result<Download, Problem> {
        (self.shard)(wanted.id, &wanted.selection)
    }
}

fn writes_buckets_of(org_id: Option<Id>) -> Permission {
    let resource = Resource { kind: ResourceType::Buckets, id: None, org_id };
    Permission { action: Action::Write, resource }
}

/// The bucket `b` of the organization `o`, or a new one.
fn bucket(name: &str) -> Bucket {
    Bucket {
        id: ID,
        org_id: ID,
        kind: BucketKind::User,
        name: name.to_owned(),
        description: String::new(),
        retention_policy: String::new(),
        retention_period_ns: 0,
        shard_group_duration_ns: 0,
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
    }
}

fn of(chunks: Vec<Vec<u8>>) -> Chunks {
    Box::new(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))))
}

fn download(chunks: Chunks, size: Option<u64>) -> Download {
    Download { chunks, size, cut_ns: Some(1_500_000_000), tag: None, part: Part::Whole }
}

/// A download whose size is announced.
fn known(chunks: Vec<Vec<u8>>) -> Download {
    let size = chunks.iter().map(|chunk| u64::try_from(chunk.len()).unwrap()).sum();
    download(of(chunks), Some(size))
}

/// A download whose size is not known.
fn unknown(chunks: Vec<Vec<u8>>) -> Download {
    download(of(chunks), None)
}

fn then_fails(chunks: Chunks) -> Chunks {
    Box::new(chunks.chain([Err(BrokenOff::of("000000001-000000001.tsm: block at byte 5 is damaged"))]))
}

/// A running server.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<Stopped>,
}

impl Server {
    async fn of(double: Double) -> Self {
        Self::with(double, Options::default()).await
    }

    async fn with(double: Double, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = oneshot::channel();
        let service = Service::over(double, options);
        // A server whose handle is gone serves until the test ends.
        let stopping = async {
            if stopping.await.is_err() {
                std::future::pending().await
            }
        };
        let stopped = tokio::spawn(serve(listener, service, stopping));
        Self { address, stop, stopped }
    }

    async fn stop(self) -> Stopped {
        self.stop.send(()).unwrap();
        self.stopped.await.unwrap()
    }
}
