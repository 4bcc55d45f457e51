//! Opening a local file so that it cannot be led out of its source: every folder of its path is opened in the one before,
//! and none of them, nor the file, may be a link. Only the source itself may be reached through links.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, open, openat, statat},
    io::Errno,
};
use url::Url;

use super::{
    file::{LastCheck, OpenFile, StoreError, StoredFile},
    time::microseconds,
};

/// A local file that is open, and the way to it.
#[derive(Debug)]
pub struct OpenLocalFile {
    file: Arc<File>,
    place: Place,
    expected: StoredFile,
}

/// Where a file's name is looked up.
#[derive(Debug)]
enum Place {
    /// Folder by folder below this root; links are not followed.
    Below(PathBuf, PathBuf),
    /// By its path; at its end, a link is followed only if this says so.
    Anywhere(PathBuf, AtFlags),
}

/// Opens this version of a file of the source at `root`. Where all of the root is missing, it is this machine that lacks it
/// (a mount, say), and the file has no fault. A file outside of the root is one of an earlier source.
pub(super) fn open_version(
    version: &StoredFile,
    root: Option<&Path>,
    follow_links: bool,
) -> Result<OpenFile, StoreError> {
    let path = Url::parse(&version.uri).ok().and_then(|uri| uri.to_file_path().ok());
    let path = path.ok_or(StoreError::NoFile)?;
    let place = match root.and_then(|root| Some((root, path.strip_prefix(root).ok()?))) {
        _ if follow_links => Place::Anywhere(path, AtFlags::empty()),
        Some((root, below)) => Place::Below(root.to_owned(), below.to_owned()),
        None => Place::Anywhere(path, AtFlags::SYMLINK_NOFOLLOW),
    };
    let file = match place.open() {
        Err(StoreError::Gone) if root.is_some_and(|root| !root.is_dir()) => {
            let root = root.unwrap_or(Path::new("/")).display();
            return Err(StoreError::unavailable(format!("{root} is not there on this machine")));
        }
        opened => Arc::new(opened?),
    };
    let open = OpenLocalFile { file, place, expected: version.clone() };
    // Before its first byte is read: whatever is done to it from now on gives it a later change time.
    let found = fstat(&open.file).map_err(store_error)?;
    open.compare(&found)?;
    let changed_time = Some(microseconds(found.st_ctime, i64::try_from(found.st_ctime_nsec).unwrap_or(0)));
    Ok(OpenFile {
        content: Box::new(open.file.clone()),
        check: LastCheck::Local(Box::new(open)),
        changed_time,
    })
}

impl OpenLocalFile {
    pub(super) fn verify_unchanged(&self) -> Result<(), StoreError> {
        self.compare(&fstat(&self.file).map_err(store_error)?)?;
        self.compare(&self.place.look()?)
    }

    fn compare(&self, found: &Stat) -> Result<(), StoreError> {
        let found = StoredFile {
            modified_time: microseconds(found.st_mtime, i64::try_from(found.st_mtime_nsec).unwrap_or(0)),
            size_in_bytes: found.st_size,
            ..self.expected.clone()
        };
        if found == self.expected { Ok(()) } else { Err(StoreError::changed(&self.expected, &found)) }
    }
}

impl Place {
    fn open(&self) -> Result<File, StoreError> {
        // O_NONBLOCK: a FIFO that takes the place after the look does not hang.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match self {
            Self::Below(root, below) => {
                let (folder, name) = folder_of(root, below)?;
                regular(&folder, Path::new(name), AtFlags::SYMLINK_NOFOLLOW)?;
                openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            Self::Anywhere(path, links) => {
                regular(CWD, path, *links)?;
                let no_links = match links.contains(AtFlags::SYMLINK_NOFOLLOW) {
                    true => OFlags::NOFOLLOW,
                    false => OFlags::empty(),
                };
                openat(CWD, path, flags | no_links, Mode::empty())
            }
        };
        let file = opened.map_err(store_error)?;
        match FileType::from_raw_mode(fstat(&file).map_err(store_error)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(StoreError::NotRegular),
        }
    }

    /// What has the name now.
    fn look(&self) -> Result<Stat, StoreError> {
        match self {
            Self::Below(root, below) => {
                let (folder, name) = folder_of(root, below)?;
                regular(&folder, Path::new(name), AtFlags::SYMLINK_NOFOLLOW)
            }
            Self::Anywhere(path, links) => regular(CWD, path, *links),
        }
    }
}

/// The last folder of a path below `root`, and the name in it.
fn folder_of<'a>(root: &Path, below: &'a Path) -> Result<(OwnedFd, &'a OsStr), StoreError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = open(root, flags, Mode::empty()).map_err(store_error)?;
    let mut parts = below.components().peekable();
    while let Some(Component::Normal(name)) = parts.next() {
        if parts.peek().is_none() {
            return Ok((folder, name));
        }
        folder = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| {
            let is_link = || {
                let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
                found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
            };
            if error == Errno::NOTDIR && is_link() { StoreError::BehindLink } else { store_error(error) }
        })?;
    }
    // A path with `..`, or none at all.
    Err(StoreError::NoFile)
}

/// What has this name, if it is a regular file: nothing else is ever opened.
fn regular(folder: impl rustix::fd::AsFd, name: &Path, links: AtFlags) -> Result<Stat, StoreError> {
    let found = statat(folder, name, links).map_err(store_error)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(found),
        _ => Err(StoreError::NotRegular),
    }
}

fn store_error(error: Errno) -> StoreError {
    match error {
        // What O_NOFOLLOW answers to a link.
        Errno::LOOP => StoreError::NotRegular,
        Errno::NOENT | Errno::NOTDIR => StoreError::Gone,
        Errno::ACCESS | Errno::PERM => StoreError::NotPermitted(error.into()),
        _ => StoreError::Unavailable(Box::new(io::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::fs::symlink};

    use super::*;

    fn stored(path: &Path) -> StoredFile {
        let found = statat(CWD, path, AtFlags::empty()).unwrap();
        StoredFile {
            uri: Url::from_file_path(path).unwrap().into(),
            modified_time: microseconds(found.st_mtime, i64::try_from(found.st_mtime_nsec).unwrap()),
            size_in_bytes: found.st_size,
            etag: String::new(),
        }
    }

    fn open_below(version: &StoredFile, root: &Path) -> Result<OpenFile, StoreError> {
        open_version(version, Some(root), false)
    }

    fn text(mut open: OpenFile) -> String {
        let mut text = String::new();
        open.content.read_to_string(&mut text).unwrap();
        open.check.verify_unchanged().unwrap();
        text
    }

    #[test]
    fn a_file_of_a_strange_name_is_opened_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("x/y z")).unwrap();
        let path = folder.path().join("x/y z/b, c#1 %20\n.csv");
        std::fs::write(&path, "content").unwrap();
        assert_eq!(text(open_below(&stored(&path), folder.path()).unwrap()), "content");
    }

    #[test]
    fn overwriting_replacing_and_removing_an_open_file_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "content").unwrap();
        let open = || open_below(&stored(&path), folder.path()).unwrap().check;
        let replaced = open();
        std::fs::write(folder.path().join("b"), "other content").unwrap();
        std::fs::rename(folder.path().join("b"), &path).unwrap();
        assert!(matches!(replaced.verify_unchanged(), Err(StoreError::Changed { .. })));
        let shortened = open();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(shortened.verify_unchanged(), Err(StoreError::Changed { .. })));
        let removed = open();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(removed.verify_unchanged(), Err(StoreError::Gone)));
    }

    #[test]
    fn a_link_or_a_fifo_in_the_files_place_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "content").unwrap();
        let scanned = stored(&path);
        std::fs::rename(&path, folder.path().join("b.csv")).unwrap();
        symlink(folder.path().join("b.csv"), &path).unwrap();
        let outside = Path::new("/srv/another/source");
        for root in [folder.path(), outside] {
            assert!(matches!(open_below(&scanned, root), Err(StoreError::NotRegular)));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for follow_links in [false, true] {
            let opened = open_version(&scanned, Some(folder.path()), follow_links);
            assert!(matches!(opened, Err(StoreError::NotRegular)));
        }
    }

    #[test]
    fn a_folder_that_became_a_link_leads_nowhere_unless_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("source"), folder.path().join("outside"));
        std::fs::create_dir_all(root.join("2026/03")).unwrap();
        let path = root.join("2026/03/a.csv");
        std::fs::write(&path, "content").unwrap();
        let scanned = stored(&path);
        let open = open_below(&scanned, &root).unwrap();
        std::fs::rename(root.join("2026"), &outside).unwrap();
        symlink(&outside, root.join("2026")).unwrap();
        assert!(matches!(open.check.verify_unchanged(), Err(StoreError::BehindLink)));
        assert!(matches!(open_below(&scanned, &root), Err(StoreError::BehindLink)));
        assert_eq!(text(open_version(&scanned, Some(&root), true).unwrap()), "content");
        // The source itself may be a link: an operator made it.
        let link = folder.path().join("link");
        symlink(&outside, &link).unwrap();
        assert_eq!(text(open_below(&stored(&link.join("03/a.csv")), &link).unwrap()), "content");
    }

    #[test]
    fn a_missing_file_is_gone_and_a_missing_source_only_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source/x/a.csv");
        let file = StoredFile {
            uri: Url::from_file_path(&path).unwrap().into(),
            modified_time: microseconds(0, 0),
            size_in_bytes: 0,
            etag: String::new(),
        };
        let root = folder.path().join("source");
        assert!(matches!(open_below(&file, &root), Err(StoreError::Unavailable(_))));
        std::fs::create_dir(&root).unwrap();
        assert!(matches!(open_below(&file, &root), Err(StoreError::Gone)));
        let root_itself = StoredFile { uri: Url::from_file_path(&root).unwrap().into(), ..file };
        assert!(matches!(open_below(&root_itself, &root), Err(StoreError::NoFile)));
    }
}
