//! A name in a folder that is open, and renames between such names that never overwrite anything.

use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use anyhow::Context;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, statat},
    io::Errno,
};

use super::{CHANGED, Found, LoadedFile, TOUCHED};
use crate::store::{StoredFile, time::microseconds};

/// A name in a folder that is open, so that no link can lead elsewhere between two looks.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
}

impl Place {
    /// A name beside it that no scan takes, and that is this version's alone.
    pub(super) fn hidden(&self, stored: &StoredFile) -> anyhow::Result<Self> {
        // Of the version alone: in another dataset the same URI is the same file.
        let name = format!(".longshore-{}", stored.identity(0).simple());
        Ok(Self { folder: self.folder.try_clone()?, name: name.into() })
    }

    /// What has this name, if it is of our own: renames give a file a new change time, which tells nothing then.
    pub(super) fn look(&self, stored: &StoredFile) -> anyhow::Result<Found> {
        Ok(match self.stat()? {
            None => Found::Nothing,
            Some(stat) if is_version(&stat, stored) => Found::Loaded,
            Some(_) => Found::Other(CHANGED),
        })
    }

    /// What has the file's own name.
    pub(super) fn look_for(&self, file: &LoadedFile) -> anyhow::Result<Found> {
        Ok(match self.stat()? {
            None => Found::Nothing,
            Some(stat) if !is_version(&stat, &file.stored) => Found::Other(CHANGED),
            Some(stat) => {
                let changed = microseconds(stat.st_ctime, stat.st_ctime_nsec.cast_signed());
                // Also an earlier one: then it is another file.
                match file.changed_time {
                    Some(loaded) if loaded != changed => Found::Other(TOUCHED),
                    _ => Found::Loaded,
                }
            }
        })
    }

    pub(super) fn stat(&self) -> anyhow::Result<Option<Stat>> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).context("the file cannot be looked at"),
        }
    }

    pub(super) fn remove(&self) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())
    }

    /// Gives what has this name another one, if that is free: `EXIST` if it is not.
    pub(super) fn rename_to_free(&self, to: &Self) -> rustix::io::Result<()> {
        match rustix::fs::renameat_with(
            &self.folder,
            &self.name,
            &to.folder,
            &to.name,
            RenameFlags::NOREPLACE,
        ) {
            // NFS and some others know no such rename. A link refuses as well, and is made before the old name goes.
            Err(Errno::INVAL | Errno::NOSYS) => self.link_to_free(to),
            renamed => renamed,
        }
    }

    fn link_to_free(&self, to: &Self) -> rustix::io::Result<()> {
        match rustix::fs::linkat(&self.folder, &self.name, &to.folder, &to.name, AtFlags::empty()) {
            Ok(()) => {}
            // An earlier try came as far as the link.
            Err(Errno::EXIST) if self.is_same_file(to) => {}
            Err(error) => return Err(error),
        }
        self.remove()
    }

    fn is_same_file(&self, other: &Self) -> bool {
        let stat = |place: &Self| statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let (own, other) = (stat(self), stat(other));
        own.zip(other).is_some_and(|(own, other)| (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    }
}

fn is_version(stat: &Stat, stored: &StoredFile) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
        && stat.st_size == stored.size_in_bytes
        && microseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed()) == stored.modified_time
}

/// Whether what was set aside is under its name again; not if that is taken by now.
pub(super) fn put_back(aside: &Place, place: &Place) -> anyhow::Result<bool> {
    match aside.rename_to_free(place) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error).context("the file cannot be put back under its name"),
    }
}

pub(super) fn open_folder(
    at: impl std::os::fd::AsFd,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
    rustix::fs::openat(at, path.as_os_str().as_bytes(), flags, Mode::empty())
}

/// The folder that has this path below `root`, each one opened in the one before.
pub(super) fn open_below(root: OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    path.iter().try_fold(root, |folder, name| open_folder(&folder, Path::new(name), flags))
}

/// Makes the names in a folder outlast a power failure, where its file system knows how.
pub(super) fn sync(folder: &OwnedFd) -> anyhow::Result<()> {
    match rustix::fs::fsync(folder) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error).context("the folder cannot be synced"),
    }
}
