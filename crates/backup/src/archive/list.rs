//! The list of all live files, and what is read for it.

use bytes::Bytes;
use icecore_database::Error;
use icecore_disk::Stat;
use icecore_tsm::{Chunks, ListedFile, Listing, Member};

use super::{ShardArchive, Stage, file_header};

/// Owner of a list without files.
const NOBODY: Stat = Stat { size: 0, modified_ns: 0, mode: 0o600, uid: 0, gid: 0 };

impl ShardArchive {
    pub(super) fn begin_list(&mut self) -> Result<(), Error> {
        if !self.is_listed() {
            self.stage = Stage::End;
            return Ok(());
        }
        let len = self.list_comment_len();
        if len > 0 && self.filler.is_none() {
            self.comment(len, self.cut_ns, &self.owner())?;
        }
        self.stage = Stage::List { member: 0, chunks: None };
        Ok(())
    }

    /// Goes on with the digests. Files that were not sent are checked now, for theirs.
    pub(super) fn list_on(&mut self) -> Result<(), Error> {
        let Stage::List { member: at, chunks } = &mut self.stage else { return Ok(()) };
        let Some(member) = self.members.get_mut(*at) else {
            self.stage = Stage::End;
            return self.list();
        };
        match read_on(member, chunks, self.manner.step_len) {
            Ok(true) => {
                member.forget_plan();
                self.stage = Stage::List { member: *at + 1, chunks: None };
            }
            Ok(false) => self.wait(),
            Err(source) => return Err(Error::Shard { id: self.id, source }),
        }
        Ok(())
    }

    /// The list of all live files.
    fn list(&mut self) -> Result<(), Error> {
        let mut files = Vec::new();
        for member in &mut self.members {
            let digest = member.digest().map_err(|source| Error::Shard { id: self.id, source })?;
            if let Some(size) = member.size().filter(|size| *size > 0) {
                files.push(ListedFile { name: member.name(), size, digest });
            }
        }
        let text = Listing::new(files).to_text();
        let path = format!("{}{}", self.prefix, Listing::NAME);
        let header = file_header(&path, text.len() as u64, self.cut_ns, &self.owner())?;
        self.end_comment();
        self.ready.push_back(header);
        let size = text.len() as u64;
        self.ready.push_back(Bytes::from(text));
        self.pad(size);
        Ok(())
    }

    /// Who owns the list.
    fn owner(&self) -> Stat {
        let owner = self.members.first().map_or(NOBODY, Member::stat);
        Stat { mode: 0o600, ..owner }
    }
}

/// Reads on until the digest of a member is known, which is returned, or so many bytes of blocks or a chunk were read.
fn read_on(
    member: &mut Member,
    chunks: &mut Option<Box<Chunks>>,
    step_len: u64,
) -> icecore_tsm::Result<bool> {
    if member.known_digest().is_some() {
        return Ok(true);
    }
    if !member.plan_step(step_len)? {
        return Ok(false);
    }
    let chunks = match chunks {
        Some(chunks) => chunks,
        None => chunks.insert(Box::new(member.chunks_unkept()?)),
    };
    chunks.next().map_or(Ok(true), |chunk| chunk.map(|_| false))
}
