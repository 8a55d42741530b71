//! Where a comment stands, and how it leaves while its file is planned.

use bytes::Bytes;
use icecore_database::Error;
use icecore_disk::Stat;
use icecore_tsm::Member;

use super::filler::{self, Filler};
use super::{ShardArchive, entry_len, header_of};
use crate::ustar::EntryType;

impl ShardArchive {
    /// What the comment of a member takes with its header; `is_commented`: one stands before it already.
    pub(super) fn comment_len(&self, member: &Member, is_commented: bool) -> u64 {
        match member.is_rewritten() && !is_commented {
            true => len_with_header(self.manner.len_for(member.size_on_disk())),
            false => 0,
        }
    }

    /// The same of the comment before the list.
    pub(super) fn comment_len_of_list(&self, is_commented: bool) -> u64 {
        if is_commented { 0 } else { len_with_header(self.list_comment_len()) }
    }

    /// Its length without a header, by the files that may have to be read for it alone.
    pub(super) fn list_comment_len(&self) -> u64 {
        let listed = self.members.iter().skip(self.sent_count);
        self.manner.len_for(listed.map(Member::size_on_disk).sum())
    }

    /// Begins a comment of so many bytes: its header leaves.
    pub(super) fn comment(&mut self, len: u64, modified_ns: i64, stat: &Stat) -> Result<(), Error> {
        let path = format!("{}{}", self.prefix, filler::NAME);
        self.ready.push_back(header_of(EntryType::XHeader, &path, len, modified_ns, stat)?);
        self.filler = Some(Filler::new(len));
        Ok(())
    }

    /// Lets a part of the comment leave, if there is one and it is time.
    pub(super) fn wait(&mut self) {
        let pulse = self.filler.as_mut().and_then(|filler| filler.pulse((self.manner.now)()));
        if let Some(bytes) = pulse {
            self.ready.extend([bytes, Bytes::new()]);
        }
    }

    /// A header comes: what is left of the comment leaves.
    pub(super) fn end_comment(&mut self) {
        let rest = self.filler.take().map(|mut filler| filler.take());
        self.ready.extend(rest.filter(|rest| !rest.is_empty()));
    }
}

/// What a comment takes with its header: nothing when it is empty.
fn len_with_header(len: u64) -> u64 {
    if len == 0 { 0 } else { entry_len(len) }
}
