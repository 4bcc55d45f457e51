//! The inferred spec in TOML, with comments on what was sampled and what to check.

use std::path::Path;

use longshore_common::dataset::{AsciiOrNone, Column, Csv, Dataset, FileEncoding, Rejects, parse_spec};
use url::Url;

use super::{
    USUAL_RECORD_BYTES,
    decide::{Decision, kept_words},
    error::InferError,
    names::{FileNames, file_names},
    sample::{Extent, Sample},
    survey::Survey,
    verify::{Failing, Verified, limits_for},
};

/// Everything that the spec says.
pub(super) struct SpecText<'a> {
    pub(super) samples: &'a [Sample],
    pub(super) survey: &'a Survey,
    pub(super) decisions: &'a [Decision],
}

impl SpecText<'_> {
    /// The spec as it reads back.
    pub(super) fn dataset(&self) -> Result<Dataset, InferError> {
        let text = self.spec().map_err(InferError::Fault)?;
        parse_spec("the inferred spec", &text, |_| None).map_err(|error| InferError::Fault(error.to_string()))
    }

    /// The spec with what was found when it was held against the samples.
    pub(super) fn finished(&self, verified: &Verified, failing: &[Failing]) -> String {
        // What was parsed before can be written again.
        format!("{}{}{}", self.preface(verified, failing), self.spec().unwrap_or_default(), limits(failing))
    }

    fn preface(&self, verified: &Verified, failing: &[Failing]) -> String {
        let mut text = String::from("# Inferred by `longshore dataset infer` from:\n");
        for ((sample, extent), counts) in self.samples.iter().zip(&self.survey.extents).zip(&verified.counts)
        {
            let part = match extent {
                Extent::Whole => String::new(),
                Extent::Part => format!(" of its first {} MiB", sample.max_bytes >> 20),
            };
            text += &format!("#   {}: {}{part}\n", sample.name, counted(counts.rows_read));
        }
        text += &match verified.rows_rejected() {
            0 => "# All of them load with this spec.\n".to_owned(),
            rejected => format!(
                "# {rejected} of these rows would be rejected, whatever the types; `longshore validate` says why.\n"
            ),
        };
        for Failing { sentence, .. } in failing {
            text += &format!("# {sentence}\n");
        }
        if !failing.is_empty() {
            text += "# Have the files mended, or raise the limits: [rejects], at the end of this spec.\n";
        }
        text += "# Check the names and types: a later file may hold what these do not. No sample tells which columns must have a\n\
                 # value (required = true) or which values are allowed (min, max, allowed, pattern, max_length).\n";
        text
    }

    fn spec(&self) -> Result<String, String> {
        let (source, FileNames { dataset, include }) = self.place()?;
        let mut text = format!("name = {}\n", quoted(&dataset));
        text += "# Every file below this folder whose path matches is loaded.\n";
        text += &format!("source = {}\n", quoted(&source));
        text += &format!("include = {}\n\n", list(&include));
        text += &self.csv();
        text += &format!("\n[target]\ntable = {}\n", quoted(&format!("reporting.{dataset}")));
        let layout = &self.survey.layout;
        for (place, (decision, name)) in self.decisions.iter().zip(&layout.names).enumerate() {
            text.push('\n');
            text += &comments(&decision.notes);
            text += &comments(kept_words(&self.survey.profiles[place], decision).as_slice());
            let source = layout.header.as_ref().filter(|_| layout.is_by_name()).map(|header| &header[place]);
            text += &column(&decision.column, name, source);
        }
        Ok(text)
    }

    /// The folder of all samples as a URL, and what they are called.
    fn place(&self) -> Result<(String, FileNames), String> {
        let folders = || self.samples.iter().filter_map(|sample| sample.path.parent());
        let mut folder = folders().next().unwrap_or(Path::new("/"));
        while !folders().all(|other| other.starts_with(folder)) {
            folder = folder.parent().unwrap_or(Path::new("/"));
        }
        let url = Url::from_directory_path(folder).map_err(|()| "the folder has no URL".to_owned())?;
        let text = |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<String> = self.samples.iter().map(|sample| text(sample.path.file_name())).collect();
        let url = match url.as_str().trim_end_matches('/') {
            "file:" => "file:///",
            folder => folder,
        };
        Ok((url.to_owned(), file_names(&text(folder.file_name()), &names)))
    }

    fn csv(&self) -> String {
        let Csv { delimiter, quote, escape, comment, skip_lines, encoding, null, max_record_bytes, .. } =
            &self.survey.layout.spec_csv;
        let mut text = String::from("[csv]\n");
        if let FileEncoding::Named(_) = encoding {
            text += "# Not UTF-8; this encoding fits best. Look at names and places with accents before you trust it.\n";
            text += &format!("encoding = {}\n", quoted(&String::from(*encoding)));
        }
        text += &format!("delimiter = {}\n", quoted(&delimiter.to_string()));
        if quote.0.is_none() {
            text += "# Quotes stand in several values without enclosing them, so they are a part of values. If a later file encloses\n\
                     # values in quotes, leave this out: rows with a stray quote are then rejected.\n";
        }
        if quote.0 != Some(b'"') {
            text += &format!("quote = {}\n", quoted(&String::from(*quote)));
        }
        for (key, value) in [("escape", escape), ("comment", comment)] {
            if *value != AsciiOrNone(None) {
                text += &format!("{key} = {}\n", quoted(&String::from(*value)));
            }
        }
        text += &comments(&self.survey.layout.notes);
        if !self.survey.layout.is_by_name() {
            text += "header = false\n";
        }
        if *skip_lines > 0 {
            text += &format!("skip_lines = {skip_lines}\n");
        }
        text += &format!("null = {}\n", list(null));
        if *max_record_bytes != USUAL_RECORD_BYTES {
            text += &format!("max_record_bytes = {}\n", quoted(&String::from(*max_record_bytes)));
        }
        text
    }
}

/// A table of the spec, in a comment out of which it can be taken.
fn limits(failing: &[Failing]) -> String {
    if failing.is_empty() {
        return String::new();
    }
    let Rejects { max_rows: usual_rows, max_ratio: usual_ratio } = Rejects::default();
    let Rejects { max_rows, max_ratio } = limits_for(failing);
    format!(
        "\n# Limits that let the samples load without their rejected rows; usual are {usual_rows} and {usual_ratio}.\n\
         # [rejects]\n# max_rows = {max_rows}\n# max_ratio = {max_ratio:?}\n"
    )
}

fn column(column: &Column, name: &str, source: Option<&String>) -> String {
    let mut text = format!("[[columns]]\nname = {}\n", quoted(name));
    if let Some(source) = source.filter(|source| *source != name) {
        text += &format!("source = {}\n", quoted(source));
    }
    text += &format!("type = {}\n", quoted(&String::from(column.column_type)));
    if let Some(format) = &column.format {
        text += &format!("format = {}\n", quoted(format));
    }
    if column.decimal_comma {
        text += "decimal_comma = true\n";
    }
    if let Some(thousands) = column.thousands {
        text += &format!("thousands = {}\n", quoted(&thousands.to_string()));
    }
    for (key, words) in
        [("true_values", &column.true_values), ("false_values", &column.false_values), ("null", &column.null)]
    {
        if let Some(words) = words {
            text += &format!("{key} = {}\n", list(words));
        }
    }
    if column.non_finite {
        text += "non_finite = true\n";
    }
    text
}

fn comments(notes: &[String]) -> String {
    notes.iter().map(|note| format!("# {note}\n")).collect()
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A TOML string. `${` would be a variable of the environment.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\t' => quoted.push_str("\\t"),
            '$' => quoted.push_str("\\u0024"),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

fn counted(rows: u64) -> String {
    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
}
