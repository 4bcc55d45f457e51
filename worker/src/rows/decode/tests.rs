use encoding_rs::{ISO_2022_JP, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::*;

/// The text of a file, given in chunks of this size; it must come to the same.
fn decode(encoding: FileEncoding, file: &[u8]) -> Vec<u8> {
    let text = |size: usize| {
        let mut decoder = Decoder::new(encoding);
        let mut text: Vec<u8> =
            file.chunks(size).flat_map(|chunk| decoder.decode(chunk, false).to_vec()).collect();
        text.extend_from_slice(decoder.decode(b"", true));
        text
    };
    let whole = text(usize::MAX);
    for size in 1..5 {
        assert_eq!(text(size), whole, "{encoding:?} in chunks of {size}");
    }
    whole
}

#[test]
fn a_byte_order_mark_says_what_the_encoding_is_and_is_no_text() {
    let cases: [(&[u8], &str); 9] = [
        (b"\xef\xbb\xbfa\xc3\xa9", "aé"),
        (b"\xff\xfea\0\xe9\0", "aé"),
        (b"\xfe\xff\0a\0\xe9", "aé"),
        (b"\xff\xfe", ""),
        (b"\xef\xbb\xbf", ""),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "\u{feff}a"),
        (b"\xff\xfe\xff\xfea\0", "\u{feff}a"),
        (b"a\xef\xbb\xbf", "a\u{feff}"),
        (b"", ""),
    ];
    for (file, text) in cases {
        for encoding in [FileEncoding::Auto, FileEncoding::Named(SHIFT_JIS), FileEncoding::Named(UTF_8)] {
            if file.starts_with(b"a") && encoding == FileEncoding::Named(SHIFT_JIS) {
                continue;
            }
            assert_eq!(String::from_utf8(decode(encoding, file)).unwrap(), text, "{encoding:?} {file:?}");
        }
    }
    for part in [&b"\xef"[..], b"\xef\xbb", b"\xff", b"\xef\xbba"] {
        assert_eq!(decode(FileEncoding::Auto, part), part);
    }
}

#[test]
fn every_label_of_the_standard_can_be_read() {
    let cases: [(&str, &[u8], &str); 8] = [
        ("windows-1252", b"\x80 \xe9", "€ é"),
        ("latin1", b"\x80 \xe9", "€ é"),
        ("iso-8859-15", b"\xa4", "€"),
        ("koi8-r", b"\xc6", "ф"),
        ("utf-16le", b"\x3d\xd8\x00\xde\n\0", "😀\n"),
        ("utf-16be", b"\xd8\x3d\xde\x00\0\n", "😀\n"),
        ("Shift_JIS", b"\x95\x5c\\", "表\\"),
        ("gbk", b"\xd6\xd0", "中"),
    ];
    for (label, file, text) in cases {
        let encoding = FileEncoding::try_from(label.to_owned()).unwrap();
        assert_eq!(String::from_utf8(decode(encoding, file)).unwrap(), text, "{label}");
    }
}

#[test]
fn what_is_no_text_becomes_a_byte_that_is_none_either() {
    let cases: [(&'static Encoding, &[u8], &[u8]); 7] = [
        (SHIFT_JIS, b"a\x81\nb", b"a\xff\nb"),
        (SHIFT_JIS, b"a\x81", b"a\xff"),
        (WINDOWS_1252, b"\x81", "\u{81}".as_bytes()),
        (UTF_16LE, b"\x3d\xd8\n\0a", b"\xff\n\xff"),
        (UTF_16BE, b"\xde\0\0\n", b"\xff\n"),
        (ISO_2022_JP, b"\x1b$B\n\x1b(B\n", b"\xff\n"),
        (UTF_8, b"\xe9", b"\xe9"),
    ];
    for (encoding, file, text) in cases {
        assert_eq!(decode(FileEncoding::Named(encoding), file), text, "{} {file:?}", encoding.name());
    }
}

#[test]
fn a_lines_offset_in_the_text_leads_to_its_offset_in_the_file() {
    type Offsets = [(u64, u64)];
    let cases: [(FileEncoding, &[u8], &Offsets); 4] = [
        (FileEncoding::Auto, b"\xef\xbb\xbfa\nb", &[(0, 3), (2, 5)]),
        (FileEncoding::Named(WINDOWS_1252), b"\x80\r\n\xe9\rb", &[(0, 0), (5, 3), (8, 5)]),
        (FileEncoding::Auto, b"\xff\xfe\x0a\x0a\n\0a\0\r\0b\0", &[(0, 2), (4, 6), (6, 10)]),
        // The first line feed is no text, because it stands among two-byte characters.
        (FileEncoding::Named(ISO_2022_JP), b"\x1b$B\n\x1b(Ba\nb", &[(0, 0), (3, 9)]),
    ];
    for (encoding, file, lines) in cases {
        for size in [1, 2, 3, 100] {
            let mut decoder = Decoder::new(encoding);
            file.chunks(size).for_each(|chunk| drop(decoder.decode(chunk, false).to_vec()));
            for (line, (in_text, in_file)) in lines.iter().enumerate() {
                decoder.forget_lines_before(*in_text);
                assert_eq!(decoder.line_offset(*in_text), *in_file, "{encoding:?}, line {line}");
                assert_eq!(decoder.line_offset(*in_text), *in_file, "{encoding:?}, line {line} again");
            }
        }
    }
}

#[test]
fn the_first_chunk_is_not_kept() {
    let mut decoder = Decoder::new(FileEncoding::Auto);
    assert_eq!(decoder.decode(&[b'a'; 1000], false).len(), 1000);
    assert_eq!(decoder.decode(b"b", false), b"b");
    assert_eq!(decoder.head.capacity(), 0);
}

#[test]
fn lines_that_were_read_are_forgotten() {
    let mut decoder = Decoder::new(FileEncoding::Named(WINDOWS_1252));
    let mut length = 0;
    for _ in 0..100 {
        length += decoder.decode(&b"a\n".repeat(1000), false).len() as u64;
        decoder.forget_lines_before(length);
    }
    assert_eq!(decoder.transcoder.unwrap().line_bytes(), 0);
}
