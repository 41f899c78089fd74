//! Small JSON files that are read whole and written whole: settings and people. A crash leaves the old file or the new;
//! a damaged one is moved aside, never written over.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No file of ours comes near this.
const BYTES_MAX: u64 = 1 << 20;
/// Damaged files that are kept beside a good one.
const DAMAGED_MAX: u32 = 20;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Reading failed.
    #[error("{} cannot be read ({source}); see that it is yours", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error("{} cannot be written ({source}); see that the folder is yours and the disk has room", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written. It was moved aside.
    #[error("{} was damaged ({what}) and is begun anew; the old one is kept as {}", path.display(), kept.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// Where it is now.
        kept: PathBuf,
    },
}

/// Reads a file; `None` when there is none.
///
/// # Errors
/// [`FileError::Read`], after which the file must not be written over, or [`FileError::Damaged`], after which it may.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let read_error = |source| FileError::Read { path: path.into(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(read_error(source)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read_error)?;
    let what = if bytes.len() as u64 > BYTES_MAX {
        "it is longer than anything this program writes".to_owned()
    } else {
        match serde_json::from_slice(&bytes) {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error.to_string(),
        }
    };
    let kept = move_aside(path).map_err(read_error)?;
    Err(FileError::Damaged { path: path.into(), what, kept })
}

/// The text of a file.
#[must_use]
pub(crate) fn to_text(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("plain data serialises as text");
    text.push(b'\n');
    text
}

/// Writes a file at once and whole, its folder too where there is none, for its owner only.
///
/// # Errors
/// [`FileError::Write`]; the old file is as it was.
pub(crate) fn write(path: &Path, text: &[u8]) -> Result<(), FileError> {
    let written = (|| {
        if let Some(folder) = path.parent() {
            private_dir().create(folder)?;
        }
        let new = path.with_extension("json.new");
        let mut file = private_file().open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|source| FileError::Write { path: path.into(), source })
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |number: u32| path.with_extension(format!("damaged-{number}.json"));
    let kept = (1..=DAMAGED_MAX).map(name).find(|kept| !kept.exists());
    let kept = kept.ok_or_else(|| io::Error::other("too many damaged ones are kept beside it already"))?;
    fs::rename(path, &kept)?;
    Ok(kept)
}

fn private_dir() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn private_file() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice").join("people.json");
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), None);
        write(&path, &to_text(&vec![1, 2, 3])).unwrap();
        write(&path, &to_text(&vec![4])).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![4]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_kept_aside_each_time_and_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        for (number, text) in ["{ \"theme\"", "[[["].into_iter().enumerate() {
            fs::write(&path, text).unwrap();
            let error = read::<Vec<u32>>(&path).unwrap_err();
            let FileError::Damaged { kept, .. } = &error else { panic!("{error}") };
            assert_eq!(fs::read_to_string(kept).unwrap(), text);
            assert!(error.to_string().contains(&format!("settings.damaged-{}.json", number + 1)), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_of_any_length_takes_little_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.json");
        fs::File::create(&path).unwrap().set_len(1 << 32).unwrap();
        assert!(matches!(read::<Vec<u32>>(&path), Err(FileError::Damaged { .. })));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_of_and_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        write(&path, b"[1]").unwrap();
        // A folder in the way of the new file fails for every user, root too.
        fs::create_dir(folder.path().join("settings.json.new")).unwrap();
        let error = write(&path, b"[2]").unwrap_err();
        assert!(error.to_string().contains("settings.json"), "{error}");
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![1]));
    }
}
