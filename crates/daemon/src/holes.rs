//! Holes in the table's file: filled, if the disk has room.
//!
//! A table is made with all its blocks, but a copy of one (`cp --sparse`, and what restores
//! backups) may have holes where zeros were. The first store into a hole needs a block, and if the
//! disk has none, the kernel ends the storing process by SIGBUS: one of Exim's. They cannot look
//! after that themselves, as they must not wait for a disk.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

/// Bytes of the blocks that stat(2) counts, whatever the file system's are.
const BLOCK: u64 = 512;

/// Fills them, and says so; or that there is no room for that.
pub(crate) fn fill(table: &Path) {
    let shown = table.display();
    match try_fill(table) {
        Ok(0) => {}
        Ok(filled) => tracing::info!("table {shown}: filled holes of {filled} bytes"),
        Err(error) if is_full(&error) => tracing::error!(
            "table {shown}: it has holes (a sparse copy?) and the disk has no room to fill them: \
             Exim's processes may be ended by SIGBUS; free some, and restart eximrbld"
        ),
        // A table that can only be read, or a file system that cannot allocate.
        Err(error) => tracing::debug!("table {shown}: holes not looked for: {error}"),
    }
}

/// Fills them; how many bytes were missing. File systems that compress never have all blocks.
fn try_fill(table: &Path) -> io::Result<u64> {
    let missing = |found: &std::fs::Metadata| found.len().saturating_sub(found.blocks() * BLOCK);
    if missing(&std::fs::metadata(table)?) == 0 {
        return Ok(0);
    }
    let nonblock = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().write(true).custom_flags(nonblock).open(table)?;
    let before = file.metadata()?;
    let length = i64::try_from(before.len()).map_err(io::Error::other)?;
    // The length stays what it is, should the file be cut short at this moment.
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length)?;
    Ok(missing(&before) - missing(&file.metadata()?).min(missing(&before)))
}

fn is_full(error: &io::Error) -> bool {
    [Errno::ENOSPC, Errno::EDQUOT].map(|errno| Some(errno as i32)).contains(&error.raw_os_error())
}
