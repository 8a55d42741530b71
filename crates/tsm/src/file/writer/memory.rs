use super::rolling::Sink;
use crate::error::Result;
use crate::file::name::FileName;

/// Files that exist in memory alone.
#[derive(Debug, Default)]
pub(crate) struct InMemory {
    /// Those that are whole, and the one being written.
    files: Vec<(FileName, Vec<u8>)>,
    index: Vec<u8>,
}

impl InMemory {
    pub(crate) fn into_files(self) -> Vec<(FileName, Vec<u8>)> {
        self.files
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some((_, file)) = self.files.last_mut() {
            file.extend_from_slice(bytes);
        }
    }
}

impl Sink for InMemory {
    fn begin(&mut self, name: FileName) -> Result<()> {
        self.files.push((name, Vec::new()));
        Ok(())
    }

    fn blocks(&mut self, bytes: &[u8]) -> Result<()> {
        self.append(bytes);
        Ok(())
    }

    fn index(&mut self, bytes: &[u8]) -> Result<()> {
        self.index.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, footer: &[u8]) -> Result<()> {
        let index = std::mem::take(&mut self.index);
        self.append(&index);
        self.append(footer);
        Ok(())
    }
}
