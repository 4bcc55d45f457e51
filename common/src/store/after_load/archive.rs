//! The folder of a dataset below `move_to`.

use std::{
    fs,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatxFlags},
    io::Errno,
};
use url::Url;

use super::{
    AfterLoadOutcome, Found, LoadedFile, MAX_TARGETS, Permission,
    place::{Place, open_below, open_folder, sync},
    target_folder,
};
use crate::edge;

/// Where one file may go below the folder of its dataset.
pub(super) struct Archive<'a> {
    root: PathBuf,
    file: &'a LoadedFile,
    /// The file's path below the source.
    below: &'a Path,
}

impl<'a> Archive<'a> {
    pub(super) fn new(root: PathBuf, file: &'a LoadedFile, below: &'a Path) -> Self {
        Self { root, file, below }
    }

    /// Makes its folder, from which no link may lead back to where scans look, on the file system of `folder`.
    pub(super) fn make(&self, source: &Path, folder: impl AsFd) -> anyhow::Result<()> {
        fs::create_dir_all(&self.root).context("`move_to` cannot be made")?;
        if fs::canonicalize(&self.root)?.starts_with(fs::canonicalize(source)?) {
            anyhow::bail!("a link leads `move_to` to where the next scan would find the file again");
        }
        // Told before anything is done. A rename tells it too, but only once the file has lost its name.
        let root = open_folder(CWD, &self.root, OFlags::empty()).context("`move_to` cannot be opened")?;
        if rustix::fs::fstat(&root)?.st_dev != rustix::fs::fstat(&folder)?.st_dev {
            anyhow::bail!("`move_to` must be on the same file system as `source`");
        }
        if mount(&root).zip(mount(&folder)).is_some_and(|(to, from)| to != from) {
            anyhow::bail!(
                "`move_to` and `source` must lie below one mount: a rename does not lead from one mount to another"
            );
        }
        Ok(())
    }

    /// Moves what was set aside to the first target that is free. `None` if no rename leads there.
    pub(super) fn take(
        &self,
        aside: &Place,
        permission: &Permission,
    ) -> anyhow::Result<Option<AfterLoadOutcome>> {
        for number in 1..=MAX_TARGETS {
            let path = self.target(number);
            let target = self.make_target(&path)?;
            // Asks for the permission last: making the target may have hung.
            let renamed = match edge::pass("after_load::to_archive") {
                Ok(()) => aside.rename_to_free(&target, permission)?,
                Err(_) => Err(Errno::XDEV),
            };
            match renamed {
                Ok(()) => {
                    sync(&target.folder)?;
                    sync(&aside.folder)?;
                    return Ok(Some(moved(&path)));
                }
                // Another file, which stays: ids come again after a database was restored.
                Err(Errno::EXIST) => {}
                Err(Errno::XDEV) => return Ok(None),
                Err(error) => {
                    let hidden =
                        format!("the file cannot be moved, and is `{}` until then", aside.name.display());
                    return Err(error).context(hidden);
                }
            }
        }
        anyhow::bail!(
            "`{}` and {MAX_TARGETS} names like it are taken below `move_to`",
            self.target(1).display()
        )
    }

    /// Where an earlier try has moved the file, whose end was not recorded.
    pub(super) fn found(&self) -> anyhow::Result<Option<AfterLoadOutcome>> {
        let mut found = None;
        for number in 1..=MAX_TARGETS {
            let path = self.target(number);
            let Some(target) = self.open_target(&path)? else { break };
            match target.look(&self.file.stored)? {
                Found::Nothing => break,
                // The last one: those before it were there already.
                Found::Loaded => found = Some(moved(&path)),
                Found::Other(_) => {}
            }
        }
        Ok(found)
    }

    fn target(&self, number: u32) -> PathBuf {
        self.root.join(target_folder(self.file.id, number)).join(self.below)
    }

    /// `None` if its folder is not there.
    fn open_target(&self, path: &Path) -> anyhow::Result<Option<Place>> {
        let (folder, name) = folder_and_name(path)?;
        let below = folder.strip_prefix(&self.root).unwrap_or(folder);
        let opened = open_folder(CWD, &self.root, OFlags::empty())
            .and_then(|root| open_below(root, below, OFlags::NOFOLLOW));
        match opened {
            Ok(folder) => Ok(Some(Place { folder, name: name.to_owned() })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error).context("the folder below `move_to` cannot be opened"),
        }
    }

    /// Makes what is missing of its folder, without following a link.
    fn make_target(&self, path: &Path) -> anyhow::Result<Place> {
        let missing = || "the folder below `move_to` cannot be made";
        let (folder, name) = folder_and_name(path)?;
        let mut open = open_folder(CWD, &self.root, OFlags::empty()).with_context(missing)?;
        for name in folder.strip_prefix(&self.root).unwrap_or(folder) {
            match rustix::fs::mkdirat(&open, name.as_bytes(), Mode::from_raw_mode(0o777)) {
                Ok(()) => sync(&open)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).with_context(missing),
            }
            open = open_folder(&open, Path::new(name), OFlags::NOFOLLOW).with_context(missing)?;
        }
        Ok(Place { folder: open, name: name.to_owned() })
    }
}

/// The mount of a folder, where the kernel tells it (from Linux 5.8 on). One file system may be mounted twice.
fn mount(folder: impl AsFd) -> Option<u64> {
    let stat = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID).then_some(stat.stx_mnt_id)
}

pub(super) fn folder_and_name(path: &Path) -> anyhow::Result<(&Path, &std::ffi::OsStr)> {
    path.parent().zip(path.file_name()).context("the path has no name")
}

fn moved(path: &Path) -> AfterLoadOutcome {
    AfterLoadOutcome::Moved(Url::from_file_path(path).map(String::from).unwrap_or_default())
}
