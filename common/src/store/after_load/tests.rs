use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{ObjectStoreExt, memory::InMemory, path::Path as Key};
use tempfile::TempDir;
use url::Url;

use super::{super::time::microseconds, *};

fn lasting() -> Grant {
    Grant::new(Instant::now(), Duration::from_secs(3600))
}

struct Folders(TempDir);

impl Folders {
    fn new() -> Self {
        let folders = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folders.inbox()).unwrap();
        folders
    }

    fn inbox(&self) -> PathBuf {
        self.0.path().join("inbox")
    }

    fn archive(&self) -> PathBuf {
        self.0.path().join("archive")
    }

    fn put(&self, name: &str, content: &str) -> LoadedFile {
        let path = self.inbox().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let stored = StoredFile {
            uri: Url::from_file_path(&path).unwrap().into(),
            modified_time: microseconds(metadata.mtime(), metadata.mtime_nsec()),
            size_in_bytes: content.len().try_into().unwrap(),
            etag: String::new(),
        };
        let changed_time = Some(microseconds(metadata.ctime(), metadata.ctime_nsec()));
        LoadedFile { id: 7, stored, changed_time }
    }

    fn take(
        &self,
        action: Action,
        follow_links: bool,
        file: &LoadedFile,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let source = Url::from_file_path(self.inbox()).unwrap();
        let grant = lasting();
        LocalFiles::new(source.as_str(), follow_links, action).unwrap().take(file, &grant.permission())
    }

    fn delete(&self, file: &LoadedFile) -> AfterLoadOutcome {
        self.take(Action::Delete, false, file).unwrap()
    }

    fn moving(&self) -> Action {
        Action::Move { archive: Url::from_file_path(self.archive()).unwrap().into() }
    }

    fn hidden(&self, file: &LoadedFile) -> PathBuf {
        let path = Url::parse(&file.stored.uri).unwrap().to_file_path().unwrap();
        path.with_file_name(place::hidden_name(&file.stored))
    }
}

fn is_left(outcome: &AfterLoadOutcome) -> bool {
    matches!(outcome, AfterLoadOutcome::Left(_))
}

#[test]
fn a_deletion_that_was_cut_off_is_finished_and_one_that_was_done_is_known() {
    let folders = Folders::new();
    let file = folders.put("a.csv", "old");
    fs::rename(folders.inbox().join("a.csv"), folders.hidden(&file)).unwrap();
    assert_eq!(folders.delete(&file), AfterLoadOutcome::Deleted);
    assert!(fs::read_dir(folders.inbox()).unwrap().next().is_none());
    assert_eq!(folders.delete(&file), AfterLoadOutcome::Gone);
}

#[test]
fn another_version_is_never_deleted_wherever_it_is_met() {
    let folders = Folders::new();
    let old = folders.put("a.csv", "old");
    folders.put("a.csv", "newer");
    assert!(is_left(&folders.delete(&old)));
    // It came between the look and the rename, and the process died before it could go back.
    fs::rename(folders.inbox().join("a.csv"), folders.hidden(&old)).unwrap();
    assert!(is_left(&folders.delete(&old)));
    assert_eq!(fs::read_to_string(folders.inbox().join("a.csv")).unwrap(), "newer");
    // The same, but its name is taken by now: both are kept.
    fs::rename(folders.inbox().join("a.csv"), folders.hidden(&old)).unwrap();
    folders.put("a.csv", "newest");
    let AfterLoadOutcome::Left(reason) = folders.delete(&old) else { panic!("not left") };
    assert!(reason.contains(".longshore-"), "{reason}");
    assert_eq!(fs::read_to_string(folders.hidden(&old)).unwrap(), "newer");
    assert_eq!(fs::read_to_string(folders.inbox().join("a.csv")).unwrap(), "newest");
}

#[test]
fn a_move_that_was_cut_off_is_known_also_if_its_folder_is_gone() {
    let folders = Folders::new();
    let file = folders.put("x/ü 1.csv", "old");
    let moved = folders.take(folders.moving(), false, &file).unwrap();
    let target = folders.archive().join("7/x/ü 1.csv");
    assert_eq!(moved, AfterLoadOutcome::Moved(Url::from_file_path(&target).unwrap().into()));
    assert_eq!(folders.take(folders.moving(), false, &file).unwrap(), moved);
    fs::remove_dir(folders.inbox().join("x")).unwrap();
    assert_eq!(folders.take(folders.moving(), false, &file).unwrap(), moved);
    // A newer version under the name changes nothing about that.
    folders.put("x/ü 1.csv", "newer");
    assert_eq!(folders.take(folders.moving(), false, &file).unwrap(), moved);
    assert!(folders.inbox().join("x/ü 1.csv").exists());
    fs::remove_file(&target).unwrap();
    assert!(is_left(&folders.take(folders.moving(), false, &file).unwrap()));
}

#[test]
fn a_rename_that_came_as_far_as_a_link_is_finished_in_whatever_direction() {
    let folders = Folders::new();
    for action in [Action::Delete, folders.moving(), Action::Keep] {
        let file = folders.put("x/a.csv", "old");
        let (path, archived) = (folders.inbox().join("x/a.csv"), folders.archive().join("7/x/a.csv"));
        fs::hard_link(&path, folders.hidden(&file)).unwrap();
        let outcome = folders.take(action.clone(), false, &file).unwrap();
        assert!(!folders.hidden(&file).exists());
        assert_eq!(path.exists(), is_left(&outcome));
        assert_eq!(fs::remove_file(&archived).is_ok(), matches!(outcome, AfterLoadOutcome::Moved(_)));
    }
    // Into the archive.
    let file = folders.put("b.csv", "old");
    fs::rename(folders.inbox().join("b.csv"), folders.hidden(&file)).unwrap();
    fs::hard_link(folders.hidden(&file), folders.archive().join("7/b.csv")).unwrap();
    let target = Url::from_file_path(folders.archive().join("7/b.csv")).unwrap().into();
    assert_eq!(folders.take(folders.moving(), false, &file).unwrap(), AfterLoadOutcome::Moved(target));
    assert!(!folders.hidden(&file).exists());
    // Another file of the version's size and time under its name is none of ours, and stays.
    let file = folders.put("c.csv", "old");
    fs::rename(folders.inbox().join("c.csv"), folders.hidden(&file)).unwrap();
    fs::write(folders.inbox().join("c.csv"), "new").unwrap();
    let times =
        fs::FileTimes::new().set_modified(fs::metadata(folders.hidden(&file)).unwrap().modified().unwrap());
    fs::File::options().append(true).open(folders.inbox().join("c.csv")).unwrap().set_times(times).unwrap();
    assert_eq!(folders.delete(&file), AfterLoadOutcome::Deleted);
    assert_eq!(fs::read_to_string(folders.inbox().join("c.csv")).unwrap(), "new");
}

#[test]
fn what_is_left_has_its_name_again_or_says_where_it_is() {
    let folders = Folders::new();
    let source = Url::from_file_path(folders.inbox()).unwrap();
    let leave = |action: Action, file: &LoadedFile| {
        let grant = lasting();
        let files = LocalFiles::new(source.as_str(), false, action).unwrap();
        files.leave(file, "because", &grant.permission()).unwrap()
    };
    let path = folders.inbox().join("x/a.csv");
    for action in [Action::Delete, folders.moving(), Action::Keep] {
        let file = folders.put("x/a.csv", "old");
        fs::rename(&path, folders.hidden(&file)).unwrap();
        for _ in 0..2 {
            assert_eq!(leave(action.clone(), &file), AfterLoadOutcome::left("because"));
            assert!(path.exists() && !folders.hidden(&file).exists());
        }
    }
    let file = folders.put("x/a.csv", "old");
    fs::rename(&path, folders.hidden(&file)).unwrap();
    folders.put("x/a.csv", "newer");
    let AfterLoadOutcome::Left(reason) = leave(Action::Delete, &file) else { panic!("not left") };
    assert!(reason.starts_with("because; ") && reason.contains(".longshore-"), "{reason}");
    assert_eq!(fs::read_to_string(folders.hidden(&file)).unwrap(), "old");
    assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    // What was moved is not left.
    let file = folders.put("x/a.csv", "old");
    let moved = folders.take(folders.moving(), false, &file).unwrap();
    assert_eq!(leave(folders.moving(), &file), moved);
}

#[test]
fn a_version_that_was_caught_by_a_move_goes_back() {
    let folders = Folders::new();
    let old = folders.put("a.csv", "old");
    folders.put("a.csv", "newer");
    fs::rename(folders.inbox().join("a.csv"), folders.hidden(&old)).unwrap();
    assert!(is_left(&folders.take(folders.moving(), false, &old).unwrap()));
    assert_eq!(fs::read_to_string(folders.inbox().join("a.csv")).unwrap(), "newer");
    assert!(!folders.hidden(&old).exists() && !folders.archive().join("7/a.csv").exists());
}

#[test]
fn a_file_that_was_touched_after_its_load_is_left_and_another_of_its_size_and_time_too() {
    let folders = Folders::new();
    for action in [Action::Delete, folders.moving()] {
        let file = folders.put("a.csv", "old");
        let path = folders.inbox().join("a.csv");
        // As many bytes, and the modified time set back: only the change time tells.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "new").unwrap();
        let open = fs::File::options().append(true).open(&path).unwrap();
        open.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
        let AfterLoadOutcome::Left(reason) = folders.take(action, false, &file).unwrap() else {
            panic!("not left")
        };
        assert_eq!(reason, TOUCHED);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}

#[test]
fn nothing_in_the_archive_is_overwritten_and_the_next_name_is_taken() {
    let folders = Folders::new();
    let taken = folders.archive().join("7/x/a.csv");
    fs::create_dir_all(taken.parent().unwrap()).unwrap();
    for content in ["another", "old"] {
        let file = folders.put("x/a.csv", "old");
        fs::write(&taken, content).unwrap();
        // Also where it could be taken for the same file.
        let modified = fs::metadata(folders.inbox().join("x/a.csv")).unwrap().modified().unwrap();
        let open = fs::File::options().append(true).open(&taken).unwrap();
        open.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
        let target = folders.archive().join("7-2/x/a.csv");
        let moved = AfterLoadOutcome::Moved(Url::from_file_path(&target).unwrap().into());
        for _ in 0..2 {
            assert_eq!(folders.take(folders.moving(), false, &file).unwrap(), moved);
        }
        assert!(!folders.inbox().join("x/a.csv").exists());
        assert_eq!(fs::read_to_string(&taken).unwrap(), content);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn nothing_is_taken_once_nobody_waits_for_it_any_more() {
    let folders = Folders::new();
    let file = folders.put("a.csv", "old");
    let dropped = lasting().permission();
    let late = Grant::new(Instant::now(), Duration::ZERO);
    let source = Url::from_file_path(folders.inbox()).unwrap();
    let refuses = |action: Action, permission: &Permission| {
        LocalFiles::new(source.as_str(), false, action).unwrap().take(&file, permission).is_err()
    };
    let actions = || [Action::Delete, folders.moving(), Action::Keep].into_iter();
    for permission in [&dropped, &late.permission()] {
        assert!(actions().all(|action| refuses(action, permission)));
    }
    assert!(folders.inbox().join("a.csv").exists());
    fs::rename(folders.inbox().join("a.csv"), folders.hidden(&file)).unwrap();
    for permission in [&dropped, &late.permission()] {
        assert!(actions().all(|action| refuses(action, permission)));
    }
    assert!(folders.hidden(&file).exists());
}

#[test]
fn a_permission_lasts_for_as_long_as_it_is_renewed_and_no_longer() {
    let hour = Duration::from_secs(3600);
    let asked = Instant::now();
    let Some(long_ago) = asked.checked_sub(hour) else { return };
    let grant = Grant::new(asked, hour);
    let permission = grant.permission();
    assert!(permission.check().is_ok());
    // What counts is when Postgres was asked, not when its answer was read.
    grant.renew(long_ago);
    assert!(permission.check().is_err());
    grant.renew(asked);
    assert!(permission.check().is_ok());
    drop(grant);
    assert!(permission.check().is_err());
}

#[test]
fn what_a_deletion_has_begun_goes_back_when_the_spec_keeps_or_moves_files() {
    let folders = Folders::new();
    let file = folders.put("a.csv", "old");
    let hide = || fs::rename(folders.inbox().join("a.csv"), folders.hidden(&file)).unwrap();
    hide();
    assert!(is_left(&folders.take(Action::Keep, false, &file).unwrap()));
    assert!(folders.inbox().join("a.csv").exists());
    hide();
    assert!(matches!(folders.take(folders.moving(), false, &file).unwrap(), AfterLoadOutcome::Moved(_)));
    assert!(folders.archive().join("7/a.csv").exists());
}

#[test]
fn links_lead_a_deletion_nowhere_unless_the_spec_follows_them() {
    let folders = Folders::new();
    let file = folders.put("x/a.csv", "old");
    let outside = folders.0.path().join("outside");
    fs::rename(folders.inbox().join("x"), &outside).unwrap();
    symlink(&outside, folders.inbox().join("x")).unwrap();
    assert_eq!(folders.delete(&file), AfterLoadOutcome::Gone);
    assert!(outside.join("a.csv").exists());
    assert_eq!(folders.take(Action::Delete, true, &file).unwrap(), AfterLoadOutcome::Deleted);
    assert!(!outside.join("a.csv").exists());
    // A link in the file's own place is no version of it.
    let file = folders.put("b.csv", "old");
    fs::rename(folders.inbox().join("b.csv"), outside.join("b.csv")).unwrap();
    symlink(outside.join("b.csv"), folders.inbox().join("b.csv")).unwrap();
    assert!(is_left(&folders.take(Action::Delete, true, &file).unwrap()));
}

#[test]
fn a_source_that_is_not_there_and_a_target_that_leads_back_are_errors() {
    let folders = Folders::new();
    let file = folders.put("a.csv", "old");
    symlink(folders.inbox(), folders.archive()).unwrap();
    let error = folders.take(folders.moving(), false, &file).unwrap_err().to_string();
    assert!(error.contains("a link leads `move_to`"), "{error}");
    fs::rename(folders.inbox(), folders.0.path().join("away")).unwrap();
    let error = format!("{:#}", folders.take(Action::Delete, false, &file).unwrap_err());
    assert!(error.contains("cannot be opened on this machine"), "{error}");
}

#[test]
fn another_file_system_is_refused_and_nothing_is_made_there_for_the_file() {
    let folders = Folders::new();
    let file = folders.put("a.csv", "old");
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let archive = elsewhere.path().join("archive");
    let action = Action::Move { archive: Url::from_file_path(&archive).unwrap().into() };
    let error = folders.take(action, false, &file).unwrap_err().to_string();
    assert_eq!(error, "`move_to` must be on the same file system as `source`");
    assert!(folders.inbox().join("a.csv").exists());
    assert!(fs::read_dir(&archive).unwrap().next().is_none());
}

#[test]
fn a_file_of_an_earlier_source_is_left_alone() {
    let folders = Folders::new();
    let mut file = folders.put("a.csv", "old");
    file.stored.uri = Url::from_file_path(folders.0.path().join("inbox-2/a.csv")).unwrap().into();
    assert!(is_left(&folders.delete(&file)));
}

/// A bucket of this process's memory.
async fn bucket(action: Action) -> (Arc<InMemory>, BucketObjects) {
    let store = Arc::new(InMemory::new());
    let source = BucketSource::parse("s3://bucket/in").unwrap();
    (store.clone(), BucketObjects::new(store, source, &action))
}

async fn object(store: &InMemory, key: &str, content: &'static str) -> LoadedFile {
    store.put(&Key::from(key), content.into()).await.unwrap();
    let meta = store.head(&Key::from(key)).await.unwrap();
    let stored = StoredFile {
        uri: format!("s3://bucket/{key}"),
        modified_time: meta.last_modified,
        size_in_bytes: meta.size.try_into().unwrap(),
        etag: meta.e_tag.unwrap_or_default(),
    };
    LoadedFile { id: 7, stored, changed_time: None }
}

async fn take(objects: &BucketObjects, file: &LoadedFile) -> AfterLoadOutcome {
    let grant = lasting();
    objects.take(file, &grant.permission()).await.unwrap()
}

async fn has(store: &InMemory, key: &str) -> bool {
    store.head(&Key::from(key)).await.is_ok()
}

#[tokio::test]
async fn an_object_is_deleted_in_the_version_that_was_loaded_only() {
    let (store, objects) = bucket(Action::Delete).await;
    let old = object(&store, "in/a.csv", "old").await;
    let newer = object(&store, "in/a.csv", "new").await;
    assert!(is_left(&take(&objects, &old).await));
    assert_eq!(take(&objects, &newer).await, AfterLoadOutcome::Deleted);
    assert_eq!(take(&objects, &newer).await, AfterLoadOutcome::Gone);
    let outside = object(&store, "in2/a.csv", "old").await;
    assert!(is_left(&take(&objects, &outside).await));
    assert!(has(&store, "in2/a.csv").await);
}

#[tokio::test]
async fn an_object_is_moved_once_however_often_it_is_tried() {
    let archive = "s3://bucket/archive/orders".to_owned();
    let (store, objects) = bucket(Action::Move { archive }).await;
    let file = object(&store, "in/x/a.csv", "old").await;
    let moved = AfterLoadOutcome::Moved("s3://bucket/archive/orders/7/x/a.csv".to_owned());
    for _ in 0..2 {
        assert_eq!(take(&objects, &file).await, moved);
    }
    assert!(!has(&store, "in/x/a.csv").await && has(&store, "archive/orders/7/x/a.csv").await);
    // A newer version under the name changes nothing about that, and is not touched.
    object(&store, "in/x/a.csv", "new").await;
    assert_eq!(take(&objects, &file).await, moved);
    assert!(has(&store, "in/x/a.csv").await);
    store.delete(&Key::from("archive/orders/7/x/a.csv")).await.unwrap();
    assert!(is_left(&take(&objects, &file).await));
}

#[tokio::test]
async fn an_object_that_was_moved_is_not_said_to_be_left() {
    let archive = "s3://bucket/archive/orders".to_owned();
    let (store, objects) = bucket(Action::Move { archive }).await;
    let file = object(&store, "in/a.csv", "old").await;
    assert_eq!(objects.leave(&file, "because").await.unwrap(), AfterLoadOutcome::left("because"));
    let moved = take(&objects, &file).await;
    assert_eq!(objects.leave(&file, "because").await.unwrap(), moved);
}

#[tokio::test]
async fn no_archived_object_is_overwritten_and_the_next_name_is_taken() {
    let archive = "s3://bucket/archive/orders".to_owned();
    let (store, objects) = bucket(Action::Move { archive }).await;
    object(&store, "archive/orders/7/a.csv", "abc").await;
    let file = object(&store, "in/a.csv", "old").await;
    let moved = AfterLoadOutcome::Moved("s3://bucket/archive/orders/7-2/a.csv".to_owned());
    for _ in 0..2 {
        assert_eq!(take(&objects, &file).await, moved);
    }
    let content = store.get(&Key::from("archive/orders/7/a.csv")).await.unwrap().bytes().await.unwrap();
    assert_eq!(content, "abc");
    assert!(!has(&store, "in/a.csv").await && has(&store, "archive/orders/7-2/a.csv").await);
}
