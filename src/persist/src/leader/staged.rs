//! Deletes the beginnings of files that crashed writers have left in a directory of blobs.
//!
//! `object_store` writes `name#1` and renames it to `name`, and lists only what has its name: a search for orphans does not see
//! the others. A writer of another process may be at work on one, so young ones stay.

use std::io::Result;
use std::path::Path;
use std::time::SystemTime;

/// Deletes unfinished files in `directory` that were last written before `limit`; how many. One that is gone is no error.
pub(crate) fn sweep(directory: &Path, limit: SystemTime) -> Result<usize> {
    let mut swept = 0;
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_unfinished) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && metadata.modified()? < limit && std::fs::remove_file(entry.path()).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_unfinished(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn only_old_unfinished_files_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, at: u64| {
            let file = std::fs::File::create(directory.path().join(name)).expect("made");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(at)).expect("dated");
        };
        for (name, at) in [("a.rpf", 1), ("a.rpf#1", 1), ("b.rpf#12", 99), ("c.rpf#2", 100), ("d#x", 1), ("e#", 1)] {
            write(name, at);
        }
        let limit = UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(sweep(directory.path(), limit).expect("swept"), 2);
        let entries = std::fs::read_dir(directory.path()).expect("listed");
        let mut left: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        left.sort();
        assert_eq!(left, ["a.rpf", "c.rpf#2", "d#x", "e#"]);
        assert_eq!(sweep(&directory.path().join("none"), limit).expect("nothing to do"), 0);
    }
}
