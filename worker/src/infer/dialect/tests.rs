use encoding_rs::WINDOWS_1252;

use super::*;

fn sniffed(text: impl AsRef<[u8]>, encoding: FileEncoding) -> Csv {
    sniff(&Head { bytes: text.as_ref().to_vec(), extent: Extent::Whole }, encoding)
}

fn characters(csv: &Csv) -> (char, Option<char>, Option<char>) {
    (csv.delimiter, csv.quote.0.map(char::from), csv.escape.0.map(char::from))
}

#[test]
fn the_delimiter_is_the_one_that_splits_records_alike() {
    let cases = [
        ("a,b,c\n1,2,3\n4,5,6\n", ','),
        ("a;b\n1,5;2,5\n1,25;3\n", ';'),
        ("1,5;2,5\n1,25;3,75\n", ';'),
        ("a\tb\nx, y\tz\nSmith, John\tu\n", '\t'),
        ("a|b|c\n1|x,y|2\n3|u;v|4\n", '|'),
        ("a¦b\n1¦2\n", '¦'),
        ("a^b^c\n1^2^3\n", '^'),
        ("12:30,5\n13:45,6\n", ','),
        ("x y z\n1 2 3\n4 5 6\n", ' '),
        ("text\nHello, world\nBye\nOnce, twice, never\n", ','),
        ("one column\nof several\nwords each time\n", ','),
        ("id\n1\n2\n", ','),
    ];
    for (text, delimiter) in cases {
        assert_eq!(sniffed(text, FileEncoding::Auto).delimiter, delimiter, "{text}");
    }
    let bytes = b"a\xa6b\n1\xa62\nM\xfc\xa63\n";
    assert_eq!(sniffed(bytes, FileEncoding::Named(WINDOWS_1252)).delimiter, '¦');
}

#[test]
fn a_delimiter_within_the_texts_of_a_column_is_none() {
    let preamble = "Made by us, in March\nid;name;price\n".to_owned();
    let cases = [
        ("id,tags\n".to_owned() + &"1,red|green|blue\n".repeat(29), ','),
        ("id,address\n".to_owned() + &"7,Road 1; Yard; Rome\n".repeat(9), ','),
        ("d;m\n".to_owned() + &"€ 1,50;1,50 €\n".repeat(9), ';'),
        ("id\ttext\n".to_owned() + &"1\ta,b,c\n".repeat(9), '\t'),
        // Split by `,` the title has as many fields as the rows, but the header has not.
        (preamble + &"1;x;1,5\n".repeat(30), ';'),
    ];
    for (text, delimiter) in cases {
        assert_eq!(sniffed(&text, FileEncoding::Auto).delimiter, delimiter, "{text}");
    }
}

#[test]
fn quotes_are_those_that_keep_fields_together() {
    let cases = [
        ("a,b\n\"x,y\",1\n\"z\",2\n", (',', Some('"'), None)),
        ("a,b\n\"say \"\"hi\"\", Bob\",1\nz,2\n", (',', Some('"'), None)),
        ("a,b\n\"say \\\"hi\\\", Bob\",1\n\"z\",2\n", (',', Some('"'), Some('\\'))),
        ("p,b\n\"C:\\\",1\n\"D:\\\",2\n", (',', Some('"'), None)),
        ("a,b\n'x,y',1\n'z',2\n", (',', Some('\''), None)),
        ("a\tb\n\"Heroes\" live\t1\n\"Z\" z\t2\nu\t3\n", ('\t', None, None)),
        // A single stray quote is an error in a row, and so are some where others enclose values.
        ("a\tb\n\"Heroes\" live\t1\nz\t2\nu\t3\n", ('\t', Some('"'), None)),
        ("a,b\n1,x\n2,\"X\n3,y\n4,z\n5,u\n", (',', Some('"'), None)),
        ("a,b\n1,\"x\"\n2,\"X\n3,y\n4,\"z\" u\n5,\"u\"\n", (',', Some('"'), None)),
        ("a,b\nit's,1\n5\" pipe,2\n", (',', Some('"'), None)),
        ("a;b\n\"x\";\"1\"\n\"y\";\"2\"\n", (';', Some('"'), None)),
    ];
    for (text, expected) in cases {
        assert_eq!(characters(&sniffed(text, FileEncoding::Auto)), expected, "{text}");
    }
}

#[test]
fn lines_before_the_header_and_comments_are_left_out() {
    let cases = [
        ("a,b\n1,2\n", 0, None),
        ("Report of March\n\nid,name,n\n1,x,2\n2,y,3\n", 2, None),
        ("Report of March\nCreated by us\nid,name\n1,x\n2,y\n", 2, None),
        ("# made by hand, mostly\nid,b,c\n1,2,3\n# more, to come\n2,3,4\n", 0, Some('#')),
        ("#id,b\n1,2\n2,3\n", 0, None),
        // R writes row names under no name.
        ("speed,dist\n1,4,2\n2,4,10\n3,7,4\n", 0, None),
    ];
    for (text, skip_lines, comment) in cases {
        let csv = sniffed(text, FileEncoding::Auto);
        assert_eq!((csv.skip_lines, csv.comment.0.map(char::from)), (skip_lines, comment), "{text}");
    }
}
