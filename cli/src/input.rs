//! Files that the caller names: local paths and URLs.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use longshore_common::{dataset::HumanBytes, store::canonical_object_uri};
use rustix::fs::OFlags;
use url::Url;

use crate::output::{self, WrongCall};

/// A file to read.
pub(crate) struct InputFile {
    /// As the caller wrote it, fit for a line.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Of the stored bytes, compressed if they are.
    pub(crate) size_in_bytes: u64,
}

impl InputFile {
    /// Finds all of them, so that a wrong name is told before the first is read.
    pub(crate) fn find_all(names: &[OsString]) -> Result<Vec<Self>, WrongCall> {
        names.iter().map(|name| Self::find(name)).collect()
    }

    fn find(name: &OsStr) -> Result<Self, WrongCall> {
        let shown = output::one_line(&name.to_string_lossy());
        let wrong = |problem: String| WrongCall(format!("{shown}: {problem}"));
        let path = path(name).map_err(wrong)?;
        let metadata = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?;
        if metadata.is_dir() {
            return Err(wrong(format!("is a folder; name its files, such as {shown}/*.csv")));
        }
        refuse_irregular(&metadata).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { name: shown, path, size_in_bytes: metadata.len() })
    }

    pub(crate) fn open(&self) -> io::Result<File> {
        open(&self.path)
    }
}

/// Reads a file that must be a text of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more tells that there are more.
    if open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)? as u64 > max_bytes {
        return Err(io::Error::other(format!("is larger than {}", String::from(HumanBytes(max_bytes)))));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8"))
}

/// The URI under which the ledger knows a file that is named by its URI or its local path.
pub(crate) fn uri(name: &OsStr) -> Result<String, WrongCall> {
    let text = name.to_str();
    if let Some(uri) = text.and_then(canonical_object_uri) {
        return Ok(uri);
    }
    let is_uri = text.is_some_and(|text| text.contains("://"));
    let path = match text.filter(|_| is_uri).map(Url::parse) {
        // One file has many spellings as a URI; the ledger has the one that its path gives.
        Some(Ok(url)) if url.scheme() == "file" => url.to_file_path().ok(),
        Some(_) => None,
        None => std::path::absolute(name).ok(),
    };
    let uri = path.and_then(|path| Url::from_file_path(path).ok()).map(lexically_normal);
    match (uri, text) {
        (Some(uri), _) => Ok(uri),
        (None, Some(text)) if is_uri => Ok(text.to_owned()),
        _ => Err(WrongCall(format!("`{}` is no task, URI or path", name.display()))),
    }
}

/// Without `.` and `..`, as a listing's paths are.
fn lexically_normal(url: Url) -> String {
    Url::parse(url.as_str()).unwrap_or(url).into()
}

/// Links are followed: the caller named them.
fn open(path: &Path) -> io::Result<File> {
    // A FIFO must not hang, also one that has taken a file's place since it was found.
    let file =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    refuse_irregular(&file.metadata()?)?;
    Ok(file)
}

fn path(name: &OsStr) -> Result<PathBuf, String> {
    let Some(url) = name.to_str().filter(|name| name.contains("://")) else { return Ok(PathBuf::from(name)) };
    let allowed = "allowed are local paths and URLs such as file:///srv/orders/a.csv";
    let url = Url::parse(url).map_err(|error| format!("not a URL ({error}); {allowed}"))?;
    match url.scheme() {
        "file" => url.to_file_path().map_err(|()| format!("names no local file; {allowed}")),
        scheme => Err(format!("files at {scheme}:// cannot be read yet; {allowed}")),
    }
}

fn refuse_irregular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::other("is no regular file; write what it gives into one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_url_and_a_link_lead_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b.csv");
        std::fs::write(&file, "id\n1\n").unwrap();
        let link = folder.path().join("link.csv");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let url = OsString::from(Url::from_file_path(&file).unwrap().as_str());
        for name in [file.into_os_string(), link.into_os_string(), url] {
            let found = InputFile::find(&name).unwrap();
            assert_eq!(found.size_in_bytes, 5);
            let mut text = String::new();
            found.open().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "id\n1\n");
        }
    }

    #[test]
    fn what_is_no_local_file_is_refused_with_a_way_on() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("pipe.csv");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let cases = [
            (folder.path().as_os_str(), "*.csv"),
            (fifo.as_os_str(), "no regular file"),
            (OsStr::new("s3://bucket/a.csv"), "files at s3:// cannot be read yet; allowed are local paths"),
            (OsStr::new("file://host/a.csv"), "allowed are local paths"),
            (OsStr::new("://"), "not a URL"),
            (OsStr::new("/no/such/file.csv"), "No such file"),
        ];
        for (name, expected) in cases {
            let message = InputFile::find(name).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_uri_of_a_file_is_one_however_it_is_spelled() {
        let here = std::env::current_dir().unwrap();
        let folder = Url::from_directory_path(&here).unwrap();
        let cases = [
            ("file:///srv/a%2C%20b.csv", "file:///srv/a,%20b.csv".to_owned()),
            ("file:///srv/../srv/a b.csv", "file:///srv/a%20b.csv".to_owned()),
            ("s3://bucket/2026/a%2C b.csv", "s3://bucket/2026/a,%20b.csv".to_owned()),
            ("/srv/./x/../100%25 ü#1.csv", "file:///srv/100%2525%20%C3%BC%231.csv".to_owned()),
            ("in/a.csv", format!("{folder}in/a.csv")),
            ("./a.csv", format!("{folder}a.csv")),
            ("s3://bucket/a.csv", "s3://bucket/a.csv".to_owned()),
            ("://", "://".to_owned()),
        ];
        for (name, expected) in cases {
            assert_eq!(uri(OsStr::new(name)).unwrap(), expected);
        }
        assert!(uri(OsStr::new("")).is_err());
    }

    #[test]
    fn a_text_is_a_regular_file_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path("pipe.toml")).status().unwrap().success());
        std::fs::write(path("fits.toml"), "12345").unwrap();
        std::fs::write(path("large.toml"), "123456").unwrap();
        std::fs::write(path("latin.toml"), b"\xe4").unwrap();
        assert_eq!(read_text(&path("fits.toml"), 5).unwrap(), "12345");
        for (name, expected) in [
            ("pipe.toml", "no regular file"),
            ("large.toml", "larger than 5 B"),
            ("latin.toml", "not UTF-8"),
            (".", "no regular file"),
        ] {
            let message = read_text(&path(name), 5).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
        // An endless device would fill the memory.
        assert!(read_text(Path::new("/dev/zero"), 5).is_err());
    }
}
