//! Standard error, so that nothing in a log line can pass for another line.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Writes each event as exactly one line: control characters inside it come out escaped.
///
/// The formatter escapes them in `Debug` fields and strings, but hands on line breaks in messages, and
/// whatever is in `Display` fields; file names and a server's messages get there. It passes each event
/// to the writer whole, in one call, so the writer is the one place that sees everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct EscapedStderr {
    /// The formatter's colours are let through.
    ansi: bool,
}

impl EscapedStderr {
    pub(super) fn new(ansi: bool) -> Self {
        Self { ansi }
    }
}

impl<'a> MakeWriter<'a> for EscapedStderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for EscapedStderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = escaped(&String::from_utf8_lossy(event), self.ansi);
        // A log that cannot be written must not end a load: the reader of stderr may be gone.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One event as one line.
pub(super) fn escaped(event: &str, ansi: bool) -> String {
    let event = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(event.len() + 1);
    for (at, c) in event.char_indices() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\x1b' if ansi && begins_colour(&event[at + 1..]) => line.push(c),
            c if c.is_control() || is_deceptive(c) => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// Whether an escape character before `rest` only switches to a colour or style that the formatter uses.
/// In a value it does no more harm than that: nothing is moved, erased or hidden.
fn begins_colour(rest: &str) -> bool {
    let code = rest.strip_prefix('[').and_then(|rest| rest.split_once('m')).map(|(code, _)| code);
    code.is_some_and(|code| matches!(code, "0" | "1" | "2" | "3" | "31" | "32" | "33" | "34" | "35" | "36"))
}

/// Line separators, and marks that turn the direction of text: they show a line as what it is not.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for (event, ansi, expected) in [
            ("plain\n", false, "plain\n"),
            ("no end", false, "no end\n"),
            ("", false, "\n"),
            ("a\nb\r\n\n", false, "a\\nb\\r\\n\n"),
            ("tab\tnul\0\u{7f}\u{9b}\u{85}\n", false, "tab\\tnul\\u{0}\\u{7f}\\u{9b}\\u{85}\n"),
            ("\u{2028}\u{202e}gnp.exe\n", false, "\\u{2028}\\u{202e}gnp.exe\n"),
            ("Größe 数 😀\n", false, "Größe 数 😀\n"),
            ("\u{1b}[2m colour\n", true, "\u{1b}[2m colour\n"),
            ("\u{1b}[2K \u{1b}[8m \u{1b}]0;m \u{1b}", true, "\\u{1b}[2K \\u{1b}[8m \\u{1b}]0;m \\u{1b}\n"),
            ("\u{1b}[2m colour\n", false, "\\u{1b}[2m colour\n"),
        ] {
            assert_eq!(escaped(event, ansi), expected);
        }
    }
}
