//! What every store promises, held against each of them: a local folder, memory, an S3 server as strict as S3, and one as
//! simple as some are. What a store cannot hold is said where its names are (`Subject::fate`), and checked as well.

mod faults;
mod subject;

use std::io::Read;

use longshore_common::store::{SkipReason, StoreError};

use subject::{Fate, Subject};

#[tokio::test]
async fn everything_is_listed_once_in_bounded_pages() {
    for subject in Subject::all().await {
        // More than a page of S3 has.
        for number in 0..1100 {
            subject.put(&format!("{}/{number}.csv", number % 7), "x").await;
        }
        let (files, left_out) = subject.listed(&[], 97).await;
        let mut uris: Vec<_> = files.iter().map(|file| file.uri.as_str()).collect();
        uris.dedup();
        assert_eq!((uris.len(), files.len(), left_out), (1100, 1100, vec![]), "{}", subject.name);
        // The same versions, whenever they are listed.
        assert!(subject.listed(&[], 1000).await.0 == files, "{}", subject.name);
    }
}

#[tokio::test]
async fn every_name_that_can_be_read_is_and_every_other_is_counted() {
    let long = format!("{}.csv", vec!["ü".repeat(100); 5].join("/"));
    let names = [
        "plain.csv",
        "a, b;c.csv",
        "quote\"'`$(x)\\.csv",
        "percent%20%2F#fragment?query.csv",
        " leading and trailing .csv",
        "üñï \u{1f600}.csv",
        "a&b<c>.csv",
        "a+b=c@d:e.csv",
        "[0]{1}^~|.csv",
        "line\nbreak\tINFO forged.csv",
        "bell\u{7}.csv",
        "a//b.csv",
        "./c.csv",
        "x/../d.csv",
        &long,
    ];
    for subject in Subject::all().await {
        let (mut files, mut unreadable) = (0, 0);
        for name in names {
            match subject.fate(name) {
                Fate::Impossible => continue,
                Fate::UnreadableName => unreadable += 1,
                Fate::File => files += 1,
            }
            subject.put(name, name).await;
        }
        let (listed, left_out) = subject.listed(&[], 10).await;
        assert!(files >= 10 && listed.len() == files, "{}: {listed:#?}", subject.name);
        assert_eq!(left_out.len(), unreadable, "{}: {left_out:#?}", subject.name);
        assert!(left_out.iter().all(|skipped| skipped.reason == SkipReason::UnreadableName), "{left_out:#?}");
        for file in &listed {
            assert!(file.uri.bytes().all(|byte| byte.is_ascii_graphic()), "{}", file.uri);
            let content = String::from_utf8(subject.read(file).await.unwrap()).unwrap();
            assert!(names.contains(&content.as_str()), "{}: {}", subject.name, file.uri);
        }
        let is_long = |uri: &str| uri.len() > 3000;
        assert!(listed.iter().any(|file| is_long(&file.uri)), "{}", subject.name);
    }
}

#[tokio::test]
async fn only_the_folders_that_are_asked_for_are_listed() {
    for subject in Subject::all().await {
        for name in ["2026/03/01/a.csv", "2026/03/02/a.csv", "2026/03/021/a.csv", "2026/04/a.csv", "a.csv"] {
            subject.put(name, "x").await;
        }
        for (within, expected) in [
            (&[][..], 5),
            (&["2026/03"], 3),
            (&["2026/03/02/"], 1),
            (&["2026/03/02", "2026/04", "2027"], 2),
            (&["2027"], 0),
        ] {
            let (files, left_out) = subject.listed(within, 10).await;
            assert_eq!((files.len(), left_out.len()), (expected, 0), "{}: {within:?}", subject.name);
        }
    }
}

#[tokio::test]
async fn what_is_left_out_has_a_reason() {
    for subject in Subject::all().await {
        for name in [
            "a.csv",
            "notes.txt",
            "b.csv.part",
            ".c.csv.Xy7",
            "d.csv.TMP",
            ".snapshot/e.csv",
            ".snapshot/f/g.csv",
            "h/.trash/i.csv",
            "h/j.csv",
        ] {
            subject.put(name, "x").await;
        }
        let (files, left_out) = subject.listed(&[], 10).await;
        assert_eq!(files.len(), 2, "{}: {files:#?}", subject.name);
        let end = |uri: &str| uri.rsplit('/').next().unwrap().to_owned();
        let left_out: Vec<_> =
            left_out.iter().map(|skipped| (skipped.reason.name(), end(&skipped.uri))).collect();
        let expected = [
            ("pattern_mismatch", "notes.txt"),
            ("half_written", ".c.csv.Xy7"),
            ("half_written", "b.csv.part"),
            ("half_written", "d.csv.TMP"),
            ("hidden_folder", ".snapshot"),
            ("hidden_folder", ".trash"),
        ];
        let expected = expected.map(|(reason, name)| (reason, name.to_owned()));
        assert_eq!(left_out, expected, "{}", subject.name);
    }
}

#[tokio::test]
async fn an_object_that_only_stands_for_a_folder_is_no_entry() {
    let subject = Subject::s3().await;
    for name in ["", "folder/", "folder.csv/", "folder/a.csv"] {
        subject.put(name, if name.ends_with("a.csv") { "x" } else { "" }).await;
    }
    let (files, left_out) = subject.listed(&[], 10).await;
    assert_eq!((files.len(), left_out), (1, vec![]), "{files:#?}");
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    for subject in Subject::all().await {
        subject.put("empty.csv", "").await;
        let file = subject.only_file().await;
        assert_eq!(file.size_in_bytes, 0, "{}", subject.name);
        assert_eq!(subject.read(&file).await.unwrap(), b"", "{}", subject.name);
    }
}

#[tokio::test]
async fn a_large_file_arrives_whole_and_piece_by_piece() {
    let content: Vec<u8> = (0..9 << 20).map(|place: u32| (place / 7 % 251) as u8).collect();
    for subject in Subject::all().await {
        subject.put("large.csv", &content).await;
        let file = subject.only_file().await;
        assert!(subject.read(&file).await.unwrap() == content, "{}", subject.name);
        let store = subject.store.clone();
        let first = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; 128 << 10];
            let length = store.open(&file).unwrap().content.read(&mut chunk).unwrap();
            chunk.truncate(length);
            chunk
        });
        let first = first.await.unwrap();
        assert!(!first.is_empty() && content.starts_with(&first), "{}", subject.name);
    }
}

#[tokio::test]
async fn another_version_than_the_scanned_one_is_never_given() {
    for subject in Subject::all().await {
        subject.put("a.csv", "first").await;
        let first = subject.only_file().await;
        subject.put("a.csv", "the second").await;
        let told = subject.read(&first).await;
        assert!(matches!(&told, Err(StoreError::Changed { .. })), "{}: {told:?}", subject.name);
        let message = told.unwrap_err().to_string();
        assert!(message.contains("then 5 bytes") && message.contains("now 10 bytes"), "{message}");
        let second = subject.only_file().await;
        assert_ne!(first.identity(1), second.identity(1), "{}", subject.name);
        assert_eq!(subject.read(&second).await.unwrap(), b"the second", "{}", subject.name);
    }
}

#[tokio::test]
async fn content_that_changes_under_its_etag_is_noticed_by_the_etag_alone() {
    // Same size, and within the second that HTTP gives.
    let subject = Subject::s3().await;
    subject.put("a.csv", "first").await;
    let first = subject.only_file().await;
    subject.put("a.csv", "other").await;
    assert!(matches!(subject.read(&first).await, Err(StoreError::Changed { .. })));
}

#[tokio::test]
async fn an_overwrite_in_mid_read_gives_one_version_or_an_error() {
    let (old, new) = (vec![b'o'; 9 << 20], vec![b'n'; 9 << 20]);
    for subject in Subject::all().await {
        subject.put("a.csv", &old).await;
        let file = subject.only_file().await;
        let store = subject.store.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let mut open = store.open(&file).unwrap();
            let mut content = vec![0; 1000];
            open.content.read_exact(&mut content).unwrap();
            (open, content)
        });
        let (mut open, mut content) = opening.await.unwrap();
        subject.put("a.csv", &new).await;
        let outcome = tokio::task::spawn_blocking(move || {
            open.content.read_to_end(&mut content).map_err(subject::told)?;
            open.check.verify_unchanged()?;
            Ok(content)
        });
        match outcome.await.unwrap() {
            Ok(content) => assert!(content == old, "{}: a mixture", subject.name),
            Err(error) => assert!(matches!(error, StoreError::Changed { .. }), "{}: {error:?}", subject.name),
        }
    }
}

#[tokio::test]
async fn a_removed_file_is_gone() {
    for subject in Subject::all().await {
        subject.put("a.csv", "x").await;
        let file = subject.only_file().await;
        subject.remove("a.csv").await;
        let told = subject.read(&file).await;
        assert!(matches!(told, Err(StoreError::Gone)), "{}: {told:?}", subject.name);
        assert!(subject.listed(&[], 10).await.0.is_empty(), "{}", subject.name);
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_is_an_error_that_names_it_and_no_file_is_called_gone() {
    for subject in Subject::all().await {
        subject.put("a.csv", "x").await;
        let file = subject.only_file().await;
        subject.store.look().await.unwrap();
        if !subject.remove_source() {
            continue; // Memory is always there.
        }
        let (sender, _pages) = tokio::sync::mpsc::channel(1);
        for error in [subject.store.list(&[], 10, sender).await, subject.store.look().await] {
            let message = format!("{:#}", error.unwrap_err());
            assert!(message.contains("cannot list ") && message.contains("/in%20box"), "{message}");
        }
        let told = subject.read(&file).await;
        let is_outage = match subject.name {
            // s3s-fs does not tell a missing bucket from a missing object.
            "s3 without etags in listings and conditions" => matches!(told, Err(StoreError::Gone)),
            _ => matches!(told, Err(StoreError::Unavailable(_))),
        };
        assert!(is_outage, "{}: {told:?}", subject.name);
    }
}
