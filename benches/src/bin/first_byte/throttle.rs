//! A limit for what a process reads from a disk, by version 1 of cgroups.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const GROUPS: &str = "/sys/fs/cgroup/blkio";

/// A group with one process in it. Dropped, it is removed, if the process has ended.
pub(crate) struct Throttle(PathBuf);

impl Throttle {
    /// Limits what `process` reads from the disk that `dir` lies on to so many bytes a second.
    pub(crate) fn of(process: u32, dir: &Path, rate: u64) -> io::Result<Self> {
        let group = Self(Path::new(GROUPS).join(format!("icecore-first-byte-{process}")));
        fs::create_dir(&group.0)?;
        let device = disk(fs::metadata(dir)?.dev())?;
        fs::write(group.0.join("blkio.throttle.read_bps_device"), format!("{device} {rate}"))?;
        fs::write(group.0.join("cgroup.procs"), process.to_string())?;
        println!("reads of disk {device} limited to {:.0} MB/s", rate as f64 / 1e6);
        Ok(group)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            println!("{} stays: {error}", self.0.display());
        }
    }
}

/// `major:minor` of the whole disk that a file system lies on.
fn disk(device: u64) -> io::Result<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let node = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if node.join("partition").exists() {
        return Ok(fs::read_to_string(node.canonicalize()?.join("../dev"))?.trim().to_owned());
    }
    Ok(format!("{major}:{minor}"))
}

/// Makes the system forget what it has read of any file.
pub(crate) fn drop_caches() {
    let synced = Command::new("sync").status();
    let dropped = fs::write("/proc/sys/vm/drop_caches", "3");
    if let Err(error) = synced.and(dropped) {
        println!("the page cache stays: {error}");
    }
}
