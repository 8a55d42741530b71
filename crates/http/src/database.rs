//! A data directory as the service sees it, and where the errors of the crates below get their codes.

use std::error::Error as StdError;
use std::iter;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use icecore_backup::{self as backup, Boundary, Pin, ShardArchive};
use icecore_catalog::{
    Authorization, Bucket, BucketError, BucketErrorKind, BucketFilter, FindError, Id, LabeledBucket,
    NewBucket, OnboardErrorKind, OnboardRequest, Organization, OrganizationFilter, Page, Status,
    to_indented_json,
};
use icecore_database::{Cut, Database, Error, Partial, Precision, ShardId, WriteError};

use crate::backend::{Backend, Caller, WantedShard};
use crate::conditions::Verdict;
use crate::download::{BrokenOff, Chunks, Download};
use crate::prepare::{self, Prepare, Prepared};
use crate::problem::{Code, Problem};
use crate::range::Part;
use crate::setup::Answer201;

impl Backend for Arc<Database> {
    fn caller(&self, token: &str) -> Result<Option<Caller>, Problem> {
        let catalog = self.catalog();
        let Some(authorization) = catalog.token(token).map_err(hidden)? else { return Ok(None) };
        let user = match authorization.user_id {
            Some(id) => catalog.user(id).map_err(hidden)?,
            None => None,
        };
        Ok(Some(Caller {
            user_is_active: user.is_some_and(|user| user.status == Status::Active),
            authorization,
        }))
    }

    fn is_onboarding(&self) -> Result<bool, Problem> {
        self.catalog().is_onboarding().map_err(hidden)
    }

    fn onboard(&self, request: &[u8]) -> Result<Bytes, Problem> {
        let request: OnboardRequest = serde_json::from_slice(request).map_err(|error| {
            Problem::new(Code::Invalid, format!("the body is not the JSON of a setup: {error}"))
        })?;
        let onboarded = Database::onboard(self, &request).map_err(onboard_problem)?;
        Ok(to_indented_json(&Answer201::of(&onboarded)).into())
    }

    fn organizations(
        &self,
        filter: &OrganizationFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<Organization>, Problem> {
        self.catalog().find_organizations(filter, page, reader).map_err(find_problem)
    }

    fn buckets(
        &self,
        filter: &BucketFilter,
        page: &Page,
        reader: &Authorization,
    ) -> Result<Vec<LabeledBucket>, Problem> {
        self.catalog().find_buckets(filter, page, reader).map_err(find_problem)
    }

    fn create_bucket(&self, new: &NewBucket) -> Result<Bucket, Problem> {
        Database::create_bucket(self, new).map_err(|error| match error {
            Error::Bucket(error) => bucket_problem(error),
            Error::ReadOnly => Problem::new(Code::Forbidden, error.to_string()),
            error => hidden(error),
        })
    }

    fn bucket(&self, org_id: Option<Id>, org: &str, bucket: &str) -> Result<Bucket, Problem> {
        let catalog = self.catalog();
        let org = catalog.find_organization(org_id, org).map_err(find_problem)?;
        catalog.find_bucket(org.id, bucket).map_err(find_problem)
    }

    fn write(&self, bucket: Id, precision: Precision, batch: &[u8]) -> Result<(), Problem> {
        let report = Database::write(self, bucket, batch, precision).map_err(write_problem)?;
        report.partial.map_or(Ok(()), |partial| Err(partial_problem(&partial)))
    }

    fn kv(&self) -> Result<Download, Problem> {
        Ok(known(backup::kv(self).map_err(backup_problem)?))
    }

    fn metadata(&self, boundary: &Boundary) -> Result<Download, Problem> {
        Ok(known(backup::metadata(self, boundary).map_err(backup_problem)?))
    }

    fn cut(&self, boundary: &Boundary) -> Result<(Arc<Cut>, Download), Problem> {
        let (cut, metadata) = Database::cut(self).map_err(backup_problem)?;
        Ok((cut, known(backup::metadata_of(metadata, boundary))))
    }

    fn cut_shard(&self, id: u64) -> Result<(Arc<Cut>, i64), Problem> {
        let cut = Database::cut_shard(self, ShardId(id)).map_err(backup_problem)?;
        let cut_ns = cut.shard(ShardId(id)).map_err(backup_problem)?.1.cut_ns();
        Ok((cut, cut_ns))
    }

    fn shard(&self, wanted: &WantedShard) -> Result<Download, Problem> {
        let (id, selection) = (ShardId(wanted.id), &wanted.selection);
        let (archive, snapshot) = match &wanted.cut {
            None => {
                let shard = Database::shard(self, id).map_err(backup_problem)?;
                let snapshot = Database::snapshot(self, id).map_err(backup_problem)?;
                (ShardArchive::of(&shard, &snapshot, selection), snapshot)
            }
            Some(cut) => {
                let (shard, snapshot) = cut.shard(id).map_err(backup_problem)?;
                (ShardArchive::of(shard, snapshot, selection), snapshot.clone())
            }
        };
        let held = Held { _cut: wanted.cut.clone(), _pin: wanted.pins.hold(snapshot) };
        let archive = archive.spooled(self.spool());
        let archive = if wanted.copied { archive.copied() } else { archive };
        let (cut_ns, tag) = (Some(archive.cut_ns()), format!("\"{}\"", archive.tag()));
        if wanted.conditions.verdict(Some(&tag)) != Verdict::Wanted {
            return Ok(Download {
                chunks: Box::new(iter::empty()),
                size: None,
                cut_ns,
                tag: Some(tag),
                part: Part::Whole,
            });
        }
        let (chunks, size, part): (Chunks, _, _) =
            match prepare::in_time(Archive { archive, held }, wanted.until, wanted.nice)? {
                Prepared::InTime(Archive { mut archive, held }) => {
                    let size = archive.size();
                    let part = wanted.range.part(&tag, size);
                    if let Part::Some { start, .. } = part {
                        archive = archive.without_first(start);
                    }
                    (Box::new(Archive { archive, held }), size, part)
                }
                Prepared::Late(late) => (Box::new(late), None, Part::Whole),
            };
        Ok(Download { chunks, size, cut_ns, tag: Some(tag), part })
    }
}

struct Archive {
    archive: ShardArchive,
    /// Dropped behind the archive.
    held: Held,
}

/// What a download holds beside its files.
struct Held {
    /// Its lease does not end before the download does.
    _cut: Option<Arc<Cut>>,
    _pin: Pin,
}

impl Prepare for Archive {
    fn prepare(&mut self, until: Instant) -> Result<(), Problem> {
        // Whether all is checked shows in the size.
        self.archive.prepare(until).map(drop).map_err(backup_problem)
    }
}

impl Iterator for Archive {
    type Item = Result<Bytes, BrokenOff>;

    fn next(&mut self) -> Option<Self::Item> {
        self.archive.next().map(|chunk| chunk.map_err(broken_off))
    }
}

fn known(stream: backup::Stream) -> Download {
    let size = Some(stream.size());
    let chunks: Chunks = Box::new(stream.map(|chunk| chunk.map_err(broken_off)));
    Download { chunks, size, cut_ns: None, tag: None, part: Part::Whole }
}

fn broken_off(error: Error) -> BrokenOff {
    BrokenOff::of(chain(&error))
}

fn backup_problem(error: Error) -> Problem {
    let code = match error {
        Error::NoSuchShard(_) => Code::NotFound,
        Error::Restless => Code::Unavailable,
        _ => Code::Internal,
    };
    Problem::new(code, chain(&error))
}

fn onboard_problem(error: Error) -> Problem {
    let code = match &error {
        Error::ReadOnly => Code::Forbidden,
        Error::Onboard(refused) => match refused.kind() {
            OnboardErrorKind::Conflict => Code::Conflict,
            OnboardErrorKind::Unprocessable => Code::Unprocessable,
            OnboardErrorKind::Invalid => Code::Invalid,
            OnboardErrorKind::Internal => Code::Internal,
        },
        _ => Code::Internal,
    };
    match code {
        Code::Internal => hidden(error),
        code => Problem::new(code, error.to_string()),
    }
}

/// The code of why a bucket is not made.
pub(crate) fn bucket_problem(error: BucketError) -> Problem {
    let code = match error.kind() {
        BucketErrorKind::Conflict => Code::Conflict,
        BucketErrorKind::Unprocessable => Code::Unprocessable,
        BucketErrorKind::Invalid => Code::Invalid,
        BucketErrorKind::NotFound => Code::NotFound,
        BucketErrorKind::Internal => return hidden(error),
    };
    Problem::new(code, error.to_string())
}

fn find_problem(error: FindError) -> Problem {
    match error {
        FindError::Catalog(error) => hidden(error),
        missing => Problem::new(Code::NotFound, missing.to_string()),
    }
}

/// All other points were written.
fn partial_problem(partial: &Partial) -> Problem {
    Problem::new(Code::Unprocessable, format!("failure writing points to database: {partial}"))
}

fn write_problem(error: WriteError) -> Problem {
    match error {
        WriteError::Lines(text) => Problem::new(Code::Invalid, text),
        WriteError::Database(Error::ReadOnly) => Problem::new(Code::Forbidden, error.to_string()),
        WriteError::Database(error) if error.is_unavailable() => Problem::new(
            Code::Unavailable,
            format!("unexpected error writing points to database: {}", chain(&error)),
        ),
        WriteError::Database(error) => {
            Problem::internal(format!("unexpected error writing points to database: {}", chain(&error)))
        }
    }
}

fn hidden(error: impl StdError) -> Problem {
    Problem::hidden("the metadata of this server could not be read or written", chain(&error))
}

/// The error and what caused it, outermost first.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_write_fails_with_has_the_code_and_the_text_of_the_contract() {
        let reason = "field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float";
        let partial = Partial { reason: reason.into(), dropped: 1, bucket: None };
        let unknown = WriteError::Database(Error::NoSuchBucket("x".into()));
        for (problem, code, message) in [
            (write_problem(WriteError::Lines("a\nb".into())), Code::Invalid, "a\nb".to_owned()),
            (
                partial_problem(&partial),
                Code::Unprocessable,
                format!("failure writing points to database: partial write: {reason} dropped=1"),
            ),
            (
                write_problem(unknown),
                Code::Internal,
                "unexpected error writing points to database: bucket x not found".to_owned(),
            ),
        ] {
            assert_eq!((problem.code, problem.message), (code, message));
        }
    }
}
