//! A folder under inotify: every folder below it is watched, and each event becomes a name to look at.
//!
//! Each folder has a watch of its own: the crate's recursive mode gives up a tree of which one folder cannot be read, watches
//! hidden folders, and tells of a new folder before it is watched, so that what comes meanwhile would be missed.

use std::{
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};
use tokio::sync::mpsc;
use walkdir::{DirEntry, WalkDir};

use super::{arrivals::Arrivals, filesystem};

/// How long a file counts as being written that somebody has opened and not closed yet, if `settle` is shorter.
const WRITING_FOR: Duration = Duration::from_millis(500);

/// A folder that is watched until this is dropped.
#[derive(Clone)]
pub(super) struct WatchedFolder {
    root: PathBuf,
    identity: (u64, u64),
    watcher: Arc<Mutex<RecommendedWatcher>>,
    lost: mpsc::Sender<anyhow::Error>,
}

impl WatchedFolder {
    /// Watches `root` and everything below it. Blocks, in a dead mount for ever. What goes wrong later is sent to `lost`.
    pub(super) fn open(
        root: &Path,
        settle: Duration,
        arrivals: Arc<Arrivals>,
        lost: mpsc::Sender<anyhow::Error>,
    ) -> anyhow::Result<Self> {
        let identity = identity(root)?;
        if filesystem::is_remote(root)? {
            bail!("it lies in a network file system, where nothing tells of what other machines write");
        }
        let handler = Handler { root: root.to_owned(), settle, arrivals, lost: lost.clone() };
        let watcher = notify::recommended_watcher(handler).map_err(explained)?;
        let watcher = Arc::new(Mutex::new(watcher));
        let folder = Self { root: root.to_owned(), identity, watcher, lost };
        folder.add(root, |_| {})?;
        Ok(folder)
    }

    /// Watches a folder that is new below the root, and gives the names of all that is in it but folders. Blocks.
    pub(super) fn take_in(&self, folder: &Path, found: impl FnMut(&Path)) {
        if let Err(error) = self.add(folder, found) {
            let _ = self.lost.try_send(error);
        }
    }

    /// Each folder is watched before it is listed: what comes into it is listed, or told of, or both.
    fn add(&self, folder: &Path, mut found: impl FnMut(&Path)) -> anyhow::Result<()> {
        let walk = WalkDir::new(folder).follow_links(false).follow_root_links(folder == self.root);
        // What cannot be looked at is counted, and told of, by each scan.
        for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)).flatten()
        {
            match entry.file_type().is_dir() {
                true => self.watch(entry.path())?,
                false => found(entry.path()),
            }
        }
        Ok(())
    }

    fn watch(&self, folder: &Path) -> anyhow::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Err(error) if folder != self.root && is_gone_or_forbidden(&error) => Ok(()),
            watched => watched.map_err(explained),
        }
    }

    /// What looks whether the folder of this name is still the one that is watched; its error says why not. Blocks.
    pub(super) fn comparison(&self) -> impl FnOnce() -> anyhow::Result<()> + Send + 'static {
        let (root, watched) = (self.root.clone(), self.identity);
        move || {
            ensure!(identity(&root)? == watched, "another folder has taken its place");
            Ok(())
        }
    }
}

fn identity(folder: &Path) -> anyhow::Result<(u64, u64)> {
    let metadata = folder.metadata().context("it cannot be seen")?;
    Ok((metadata.dev(), metadata.ino()))
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_bytes().starts_with(b".")
}

fn is_gone_or_forbidden(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => {
            let kinds =
                [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];
            kinds.contains(&error.kind())
        }
        _ => false,
    }
}

/// With what to do where a limit of the machine is reached.
fn explained(error: notify::Error) -> anyhow::Error {
    let advice = |limit: &str, example| {
        let value = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{limit}")).unwrap_or_default();
        let value = value.trim();
        anyhow!(
            "the limit fs.inotify.{limit} = {value} of this machine is reached; raise it, such as by `sysctl fs.inotify.{limit}={example}`"
        )
    };
    match &error.kind {
        ErrorKind::MaxFilesWatch => advice("max_user_watches", 1_048_576),
        ErrorKind::Io(cause) if cause.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            advice("max_user_instances", 1024)
        }
        _ => anyhow::Error::new(error),
    }
}

const OVERFLOW: &str = "more happened at once than inotify's queue holds; if that happens often, raise fs.inotify.max_queued_events";

const TOO_MANY: &str = "more names have changed than can wait to be looked at";

/// Takes events, on a thread of the watcher.
struct Handler {
    root: PathBuf,
    settle: Duration,
    arrivals: Arc<Arrivals>,
    lost: mpsc::Sender<anyhow::Error>,
}

impl notify::EventHandler for Handler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.give_up(anyhow!(OVERFLOW)),
            Ok(event) => {
                if let Some(quiet_for) = quiet_time(event.kind, self.settle) {
                    for path in event.paths.iter().filter(|path| is_visible_below(&self.root, path)) {
                        if !self.arrivals.note(path, quiet_for) {
                            self.give_up(anyhow!(TOO_MANY));
                        }
                    }
                }
            }
            Err(error) => self.give_up(explained(error)),
        }
    }
}

impl Handler {
    /// A scan would find the files that were missed, but nothing would watch a folder whose event is lost: all is watched anew.
    fn give_up(&self, error: anyhow::Error) {
        // If there is one already, it says enough.
        let _ = self.lost.try_send(error);
    }
}

/// How long nothing more must happen to the name before it is looked at; `None` for what brings no new file.
fn quiet_time(kind: EventKind, settle: Duration) -> Option<Duration> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(settle),
        EventKind::Access(_)
        | EventKind::Remove(_)
        | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Both)) => None,
        // It may be a folder, which must be watched before more happens in it. A file that has not settled is put off.
        EventKind::Create(CreateKind::Folder) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            Some(Duration::ZERO)
        }
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(settle.max(WRITING_FOR)),
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(settle),
    }
}

/// Not the root itself, and nothing in a hidden folder.
fn is_visible_below(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let mut names = below.components().peekable();
    names.peek().is_some() && names.all(|name| !name.as_os_str().as_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use notify::{
        EventHandler,
        event::{DataChange, Flag, MetadataKind, RemoveKind},
    };

    use super::*;

    #[test]
    fn a_name_is_looked_at_when_nobody_changes_it_any_more() {
        // For how long it must be quiet: where files settle in five seconds, and where they need not settle.
        let (five, none) = (Some(Duration::from_secs(5)), Some(Duration::ZERO));
        let cases = [
            (EventKind::Create(CreateKind::Folder), none, none),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), none, none),
            (EventKind::Create(CreateKind::File), five, Some(WRITING_FOR)),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), five, Some(WRITING_FOR)),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), five, none),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), five, none),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), None, None),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), None, None),
            (EventKind::Remove(RemoveKind::File), None, None),
        ];
        for (kind, settling, unsettled) in cases {
            assert_eq!(quiet_time(kind, Duration::from_secs(5)), settling, "{kind:?}");
            assert_eq!(quiet_time(kind, Duration::ZERO), unsettled, "{kind:?}");
        }
    }

    #[test]
    fn the_root_itself_and_what_is_hidden_are_no_names_to_look_at() {
        let root = Path::new("/srv/.inbox");
        for (path, expected) in [
            ("/srv/.inbox/a.csv", true),
            ("/srv/.inbox/2026/a.csv", true),
            ("/srv/.inbox", false),
            ("/srv/.inbox/.a.csv", false),
            ("/srv/.inbox/.snapshot/2026/a.csv", false),
            ("/srv/a.csv", false),
        ] {
            assert_eq!(is_visible_below(root, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_watch_that_may_have_missed_a_new_folder_is_given_up() {
        let (sight, _) = tokio::sync::watch::channel(super::super::Sight::Opening);
        let arrivals = Arc::new(Arrivals::new(sight));
        let (sender, mut lost) = mpsc::channel(1);
        let mut handler = Handler {
            root: "/srv".into(),
            settle: Duration::ZERO,
            arrivals: Arc::clone(&arrivals),
            lost: sender,
        };
        handler.handle_event(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(lost.try_recv().unwrap().to_string().contains("max_queued_events"));

        let hour = Duration::from_secs(3600);
        assert!(
            (0..).take_while(|number| arrivals.note(Path::new(&number.to_string()), hour)).count() > 1000
        );
        let folder = Event::new(EventKind::Create(CreateKind::Folder)).add_path("/srv/new".into());
        handler.handle_event(Ok(folder));
        assert_eq!(lost.try_recv().unwrap().to_string(), TOO_MANY);
    }

    #[tokio::test]
    async fn what_comes_into_a_new_folder_is_told_of_or_found() {
        let root = tempfile::tempdir().unwrap();
        let (sight, _) = tokio::sync::watch::channel(super::super::Sight::Opening);
        let arrivals = Arc::new(Arrivals::new(sight));
        let (lost, _lost) = mpsc::channel(1);
        let folder = WatchedFolder::open(root.path(), Duration::ZERO, Arc::clone(&arrivals), lost).unwrap();
        let new = root.path().join("new");
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("before.csv"), "x").unwrap();
        assert_eq!(*arrivals.due(10).await, [Arc::from(new.as_path())]);
        let mut found = Vec::new();
        folder.take_in(&new, |name| found.push(name.to_owned()));
        assert_eq!(found, [new.join("before.csv")]);
        std::fs::write(new.join("after.csv"), "x").unwrap();
        assert_eq!(*arrivals.due(10).await, [Arc::from(new.join("after.csv").as_path())]);
    }
}
