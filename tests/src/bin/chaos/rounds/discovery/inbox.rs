//! A folder that is lived in: files come, change, move and are back-dated. What each name holds, and held, is known.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, FileTimes},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use rand::{RngExt, rngs::StdRng};

use crate::manifest::{Manifest, Size};

/// How far the folder may go on: as far as scans have come.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    /// So many changes may be made in all.
    pub(super) fn allow(&self, changes: u32) {
        self.0.fetch_max(changes, Ordering::Relaxed);
    }
}

/// The folder and its history.
pub(super) struct Inbox {
    root: PathBuf,
    random: StdRng,
    /// Every content that was written, by its number.
    pub(super) contents: Manifest,
    /// By path below the root.
    pub(super) names: HashMap<String, Name>,
    /// Names that exist now and may be changed.
    present: Vec<String>,
    /// Files of which a part is written.
    unfinished: VecDeque<Unfinished>,
}

/// What a name of the folder holds.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// The content it has now; `None` if it was moved away.
    pub(super) holds: Option<usize>,
    /// All it ever had.
    pub(super) held: Vec<usize>,
}

struct Unfinished {
    due: Instant,
    path: PathBuf,
    rest: String,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Inbox {
    pub(super) fn new(root: PathBuf, random: StdRng) -> Self {
        Self {
            root,
            random,
            contents: Manifest::default(),
            names: HashMap::new(),
            present: Vec::new(),
            unfinished: VecDeque::new(),
        }
    }

    /// Its path.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes so many changes, as `pace` allows, and finishes what it has begun.
    pub(super) fn live(&mut self, changes: u32, pace: &Pace) -> anyhow::Result<()> {
        for done in 0..changes {
            while pace.0.load(Ordering::Relaxed) <= done {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.finish(Instant::now())?;
            self.change().with_context(|| format!("change {done} of the inbox"))?;
            std::thread::sleep(Duration::from_micros(self.random.random_range(0..1000)));
        }
        while let Some(last) = self.unfinished.back() {
            self.finish(last.due)?;
        }
        Ok(())
    }

    fn change(&mut self) -> anyhow::Result<()> {
        let is_young = self.present.len() < 100;
        match self.random.random_range(0..100) {
            0..50 => self.write_whole(None),
            _ if is_young => self.write_whole(None),
            50..58 => self.write_in_place(None),
            58..73 => self.any_present().and_then(|place| self.write_whole(Some(place))),
            73..81 => self.any_present().and_then(|place| self.write_in_place(Some(place))),
            81..91 => self.rename_to_new(),
            91..94 => self.rename_over_another(),
            _ => self.back_date(),
        }
    }

    /// A file appears whole, under a name of its own or over another.
    fn write_whole(&mut self, over: Option<usize>) -> anyhow::Result<()> {
        let (number, content) = self.content();
        let name = self.name(over);
        let path = self.path(&name)?;
        let partial = PathBuf::from(format!("{}.part", path.display()));
        fs::write(&partial, content)?;
        if self.random.random_ratio(1, 10) {
            let age = HOUR * self.random.random_range(0..1000);
            set_modified(&partial, self.just_before(age))?;
        }
        fs::rename(partial, path)?;
        self.put(name, number);
        Ok(())
    }

    /// A file is written piece by piece. One in ten pauses for longer than any scanner waits; such a file is left alone from
    /// then on, because a half of it may have been loaded.
    fn write_in_place(&mut self, over: Option<usize>) -> anyhow::Result<()> {
        let (number, content) = self.content();
        let name = self.name(over);
        let path = self.path(&name)?;
        let cut = self.random.random_range(1..content.len());
        let (first, rest) = content.split_at(cut);
        fs::write(&path, first)?;
        self.put(name.clone(), number);
        if self.random.random_ratio(1, 10) {
            let due = Instant::now() + Duration::from_millis(self.random.random_range(200..1500));
            self.unfinished.push_back(Unfinished { due, path, rest: rest.to_owned() });
            self.present.retain(|present| *present != name);
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(self.random.random_range(0..5000)));
        append(&path, rest)
    }

    fn rename_to_new(&mut self) -> anyhow::Result<()> {
        let place = self.any_present()?;
        let from = self.present.swap_remove(place);
        let to = self.name(None);
        self.rename(&from, to)
    }

    fn rename_over_another(&mut self) -> anyhow::Result<()> {
        let place = self.any_present()?;
        let from = self.present.swap_remove(place);
        let other = self.any_present()?;
        let to = self.name(Some(other));
        self.rename(&from, to)
    }

    fn rename(&mut self, from: &str, to: String) -> anyhow::Result<()> {
        fs::rename(self.path(from)?, self.path(&to)?)?;
        let moved = self.names.get_mut(from).and_then(|name| name.holds.take());
        self.put(to, moved.context("a name that holds nothing")?);
        Ok(())
    }

    /// The same content with an older time: a version of its own.
    fn back_date(&mut self) -> anyhow::Result<()> {
        let place = self.any_present()?;
        let path = self.path(&self.present[place].clone())?;
        let age = HOUR * self.random.random_range(0..20);
        set_modified(&path, self.just_before(age))
    }

    /// Never the same time twice: two contents of one time and size would be one version.
    fn just_before(&mut self, age: Duration) -> SystemTime {
        SystemTime::now() - age - Duration::from_micros(self.random.random_range(0..3_600_000_000))
    }

    fn content(&mut self) -> (usize, String) {
        let rows = self.random.random_range(1..9);
        let content = self.contents.generate(Size::Rows(rows), &mut self.random);
        (self.contents.files.len() - 1, content)
    }

    /// A name that is there, or a new one: some of them are such as only people give.
    fn name(&mut self, present: Option<usize>) -> String {
        if let Some(place) = present {
            return self.present[place].clone();
        }
        let number = self.names.len();
        let strange = ["", " (copy)", ", new", "#2", " 100%", "-\u{fc}"][self.random.random_range(0..6)];
        format!("{:02}/{number:06}{strange}.csv", number % 20)
    }

    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        Ok(path)
    }

    fn put(&mut self, name: String, content: usize) {
        if !self.present.contains(&name) {
            self.present.push(name.clone());
        }
        let entry = self.names.entry(name).or_default();
        entry.holds = Some(content);
        entry.held.push(content);
    }

    fn any_present(&mut self) -> anyhow::Result<usize> {
        anyhow::ensure!(!self.present.is_empty(), "the inbox is empty");
        Ok(self.random.random_range(0..self.present.len()))
    }

    /// Finishes what is due at `now`.
    fn finish(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some(place) = self.unfinished.iter().position(|unfinished| unfinished.due <= now) {
            if let Some(Unfinished { path, rest, .. }) = self.unfinished.remove(place) {
                append(&path, &rest)?;
            }
        }
        Ok(())
    }
}

fn append(path: &Path, rest: &str) -> anyhow::Result<()> {
    Ok(File::options().append(true).open(path)?.write_all(rest.as_bytes())?)
}

fn set_modified(path: &Path, time: SystemTime) -> anyhow::Result<()> {
    let file = File::options().append(true).open(path)?;
    Ok(file.set_times(FileTimes::new().set_modified(time))?)
}
