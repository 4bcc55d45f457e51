//! The samples' records, gone through once: which columns they have and what is in them.

use std::collections::{HashMap, HashSet};

use longshore_common::dataset::FileEncoding;

use super::{
    USUAL_RECORD_BYTES,
    advice::advice,
    catalog::Catalog,
    dialect::sniff,
    encoding::{self, EncodingSurvey},
    error::InferError,
    header::Layout,
    profile::Profile,
    sample::{Extent, Sample, Seen},
};
use crate::rows::{Record, Records};

/// How much of a file its dialect and header are told from.
const HEAD_BYTES: usize = 128 << 10;
/// The same where that holds no row: more than the longest record.
const LONG_HEAD_BYTES: usize = 20 << 20;
/// More names of columns or files are not listed.
const MAX_LISTED: usize = 5;

/// What all samples have in common.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) layout: Layout,
    /// One a column.
    pub(super) profiles: Vec<Profile>,
    /// How far each sample was read.
    pub(super) extents: Vec<Extent>,
}

/// The encoding that reads all samples.
pub(super) fn encoding(samples: &[Sample]) -> Result<FileEncoding, InferError> {
    let mut found = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut survey = EncodingSurvey::new();
        sample.read(|chunk| {
            survey.push(chunk);
            Seen::More
        })?;
        found.push(survey.found());
    }
    encoding::common(&found).map_err(|(first, second)| InferError::MixedEncodings {
        first: samples[first].name.clone(),
        second: samples[second].name.clone(),
    })
}

impl Survey {
    pub(super) fn of(
        samples: &[Sample],
        encoding: FileEncoding,
        catalog: &mut Catalog,
    ) -> Result<Self, InferError> {
        let (first, layout) = first_layout(samples, encoding)?;
        let profiles = vec![Profile::new(catalog); layout.names.len()];
        let mut survey = Self { layout, profiles, extents: Vec::with_capacity(samples.len()) };
        for sample in samples {
            let extent = survey.take(sample, catalog).map_err(|problem| match problem {
                Problem::Sample(error) => error,
                Problem::OtherColumns(difference) => InferError::OtherColumns {
                    file: sample.name.clone(),
                    first: samples[first].name.clone(),
                    difference,
                },
            })?;
            survey.extents.push(extent);
        }
        Ok(survey)
    }

    fn take(&mut self, sample: &Sample, catalog: &mut Catalog) -> Result<Extent, Problem> {
        let mut reading = Reading { records: Records::new(&self.layout.csv), places: None, outcome: Ok(()) };
        let extent = sample.read(|chunk| {
            reading.push(Some(chunk), self, catalog);
            if reading.outcome.is_ok() { Seen::More } else { Seen::Enough }
        })?;
        if extent == Extent::Whole {
            reading.push(None, self, catalog);
        }
        reading.outcome.map(|()| extent).map_err(Problem::OtherColumns)
    }
}

enum Problem {
    Sample(InferError),
    OtherColumns(String),
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Self {
        Self::Sample(error)
    }
}

/// The layout of the first sample that has rows, or else of the first that has a header; and its place.
fn first_layout(samples: &[Sample], encoding: FileEncoding) -> Result<(usize, Layout), InferError> {
    let mut without_rows = None;
    for (place, sample) in samples.iter().enumerate() {
        match layout(sample, encoding)? {
            Some(layout) if layout.has_rows => return Ok((place, layout)),
            Some(layout) if without_rows.is_none() => without_rows = Some((place, layout)),
            Some(_) | None => {}
        }
    }
    match without_rows {
        Some(found) => Ok(found),
        None => Err(empty(samples)?),
    }
}

/// The error on samples none of which has a record.
fn empty(samples: &[Sample]) -> Result<InferError, InferError> {
    let mut files: Vec<&str> = samples.iter().take(MAX_LISTED).map(|sample| sample.name.as_str()).collect();
    if samples.len() > MAX_LISTED {
        files.push("…");
    }
    let mut head = Vec::new();
    for sample in samples {
        if head.is_empty() {
            head = sample.head(1)?.bytes;
        }
    }
    Ok(InferError::Empty { files: files.join(", "), advice: advice(&head) })
}

/// None if the sample has no record.
fn layout(sample: &Sample, encoding: FileEncoding) -> Result<Option<Layout>, InferError> {
    let read = |head_bytes| {
        let head = sample.head(head_bytes)?;
        let mut layout = Layout::of(&head, &sniff(&head, encoding))?;
        if let Some(layout) = &mut layout {
            layout.spec_csv.max_record_bytes = USUAL_RECORD_BYTES;
        }
        Ok((layout, head.extent))
    };
    match read(HEAD_BYTES)? {
        (Some(layout), _) if layout.has_rows => Ok(Some(layout)),
        (layout, Extent::Whole) => Ok(layout),
        // The first rows are longer than that.
        (_, Extent::Part) => Ok(read(LONG_HEAD_BYTES)?.0),
    }
}

/// One sample on its way through the profiles.
struct Reading {
    records: Records,
    /// Which column each field is, once the header has come.
    places: Option<Vec<usize>>,
    outcome: Result<(), String>,
}

impl Reading {
    /// Without a chunk the sample has ended.
    fn push(&mut self, chunk: Option<&[u8]>, survey: &mut Survey, catalog: &mut Catalog) {
        let Self { records, places, outcome } = self;
        let (layout, profiles) = (&survey.layout, &mut survey.profiles);
        let visit = |record: Record<'_>| {
            if outcome.is_err() || !record.is_whole() {
                return;
            }
            match places {
                Some(places) => note(record, places, profiles, catalog),
                None => match columns_of(record, layout, places) {
                    Ok(None) => {}
                    // Without a header the first record is a row.
                    Ok(Some(record)) => {
                        note(record, places.as_deref().unwrap_or_default(), profiles, catalog);
                    }
                    Err(difference) => *outcome = Err(difference),
                },
            }
        };
        match chunk {
            Some(chunk) => records.push(chunk, visit),
            None => records.finish(visit),
        }
    }
}

/// Fills `places` from the file's first record, and gives it back if it is a row.
fn columns_of<'a>(
    mut record: Record<'a>,
    layout: &Layout,
    places: &mut Option<Vec<usize>>,
) -> Result<Option<Record<'a>>, String> {
    let by_position = || Some((0..layout.names.len()).collect());
    let Some(header) = &layout.header else {
        if record.width() != layout.names.len() {
            return Err(format!("{} instead of {}", record.width(), layout.names.len()));
        }
        *places = by_position();
        return Ok(Some(record));
    };
    let mut names = Vec::with_capacity(record.width());
    record.each_field(|_, text, _| names.push(String::from_utf8_lossy(text).into_owned()));
    if !layout.is_by_name() {
        if names != *header {
            return Err("its header is another one".to_owned());
        }
        *places = by_position();
        return Ok(None);
    }
    let known: HashMap<&String, usize> =
        header.iter().enumerate().map(|(place, name)| (name, place)).collect();
    let found: HashSet<&String> = names.iter().collect();
    let missing: Vec<&String> = header.iter().filter(|name| !found.contains(name)).collect();
    let extra: Vec<&String> = names.iter().filter(|name| !known.contains_key(name)).collect();
    if !missing.is_empty() || names.len() != header.len() {
        return Err(difference(&missing, &extra));
    }
    *places = Some(names.iter().filter_map(|name| known.get(name).copied()).collect());
    Ok(None)
}

fn difference(missing: &[&String], extra: &[&String]) -> String {
    let list = |what: &str, names: &[&String]| {
        let shown: Vec<_> =
            names.iter().take(MAX_LISTED).map(|name| format!("`{}`", name.escape_debug())).collect();
        let more = if names.len() > MAX_LISTED { ", …" } else { "" };
        format!("{what} {}{more}", shown.join(", "))
    };
    match (missing.is_empty(), extra.is_empty()) {
        (false, false) => format!("{}, {}", list("it lacks", missing), list("it has", extra)),
        (false, true) => list("it lacks", missing),
        (true, false) => list("it also has", extra),
        (true, true) => "it names a column more than once".to_owned(),
    }
}

/// A row that has other many fields will be rejected, so that it tells nothing.
fn note(mut record: Record<'_>, places: &[usize], profiles: &mut [Profile], catalog: &mut Catalog) {
    if record.width() == places.len() {
        record.each_field(|field, text, is_quoted| profiles[places[field]].note(text, is_quoted, catalog));
    }
}
