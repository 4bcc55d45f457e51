//! A record → one tuple of a binary COPY, or the fault that rejects it.

use longshore_common::dataset::{Column, ColumnType, Csv, Dataset, FILE_ID_COLUMN, LINE_COLUMN};

use super::{
    fields::{Field, split_plain, split_quoted},
    header::Header,
    reject::Fault,
    value,
};

/// What a binary COPY begins with: signature, flags, length of the header's extension.
pub const COPY_HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What a binary COPY ends with: a field count of -1.
pub const COPY_TRAILER: [u8; 2] = [0xff, 0xff];

const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Names of the target columns in the order in which tuples carry them: the spec's columns, then `_file_id` (int8)
/// and `_line` (int4).
pub fn target_columns(dataset: &Dataset) -> Vec<&str> {
    let spec = dataset.columns.iter().map(|column| column.name.as_str());
    spec.chain([FILE_ID_COLUMN, LINE_COLUMN]).collect()
}

/// What turns the records of one file into tuples.
#[derive(Debug)]
pub(super) struct Encoder {
    delimiter: u8,
    quote: u8,
    columns: Vec<EncodedColumn>,
    nulls: Nulls,
    field_count: usize,
    tuple_count: [u8; 2],
    file_id: [u8; 8],
    fields: Vec<Field>,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct EncodedColumn {
    field: usize,
    column_type: ColumnType,
    required: bool,
}

impl Encoder {
    pub(super) fn new(csv: &Csv, columns: &[Column], header: &Header, file_id: i64) -> Self {
        let encoded = columns.iter().zip(&header.field_of_column).map(|(column, &field)| EncodedColumn {
            field,
            column_type: column.column_type,
            required: column.required,
        });
        Self {
            // Both are ASCII: the spec's check says so.
            delimiter: csv.delimiter as u8,
            quote: csv.quote as u8,
            columns: encoded.collect(),
            nulls: Nulls::new(&csv.null),
            field_count: header.field_count,
            // At most 1600: the spec's check says so.
            tuple_count: (columns.len() as i16 + 2).to_be_bytes(),
            file_id: file_id.to_be_bytes(),
            fields: Vec::with_capacity(header.field_count),
            scratch: Vec::new(),
        }
    }

    /// Appends the record's tuple to `out`; after a fault `out` is as it was.
    pub(super) fn encode(
        &mut self,
        record: &[u8],
        quoted: bool,
        line: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if quoted {
            split_quoted(record, self.delimiter, self.quote, &mut self.fields);
        } else {
            split_plain(record, self.delimiter, &mut self.fields);
        }
        if self.fields.len() != self.field_count {
            return Err(Fault::FieldCount { found: self.fields.len(), expected: self.field_count });
        }
        let before = out.len();
        let encoded = self.append_tuple(record, line, out);
        if encoded.is_err() {
            out.truncate(before);
        }
        encoded
    }

    fn append_tuple(&mut self, record: &[u8], line: i32, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&self.tuple_count);
        for (index, column) in self.columns.iter().enumerate() {
            let field = self.fields[column.field];
            let text = field.text(record, self.quote, &mut self.scratch);
            if self.nulls.has(text, field.is_quoted(), column.column_type) {
                if column.required {
                    return Err(Fault::Required(index));
                }
                out.extend_from_slice(&NULL);
            } else {
                value::append(column.column_type, text, out)
                    .map_err(|misfit| Fault::Misfit(index, misfit))?;
            }
        }
        let mut lineage = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        lineage[4..12].copy_from_slice(&self.file_id);
        lineage[16..].copy_from_slice(&line.to_be_bytes());
        out.extend_from_slice(&lineage);
        Ok(())
    }
}

/// The texts that stand for no value.
#[derive(Debug)]
struct Nulls {
    empty: bool,
    others: Vec<Vec<u8>>,
    /// First bytes of the others: most fields are told from all of them at one look.
    begins: [bool; 256],
}

impl Nulls {
    fn new(texts: &[String]) -> Self {
        let others: Vec<_> =
            texts.iter().filter(|text| !text.is_empty()).map(|text| text.clone().into_bytes()).collect();
        let mut begins = [false; 256];
        for text in &others {
            begins[usize::from(text[0])] = true;
        }
        Self { empty: texts.iter().any(String::is_empty), others, begins }
    }

    /// In quotes only an empty text is no value, and not in a text column, where it is the empty text.
    #[inline]
    fn has(&self, text: &[u8], quoted: bool, column_type: ColumnType) -> bool {
        match text.first() {
            None if quoted => column_type != ColumnType::Text,
            None => self.empty,
            Some(_) if quoted => false,
            Some(&first) => self.begins[usize::from(first)] && self.others.iter().any(|other| other == text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{dataset, read, texts};
    use super::*;

    #[test]
    fn a_tuple_is_a_field_count_and_each_field_with_its_length() {
        let dataset = dataset(&[("a", "smallint"), ("b", "text"), ("c", "boolean")]);
        let (_, out, _) = read(&dataset, b"a,b,c\n-2,xy,NA\n", &[]);
        let expected = [
            &b"\0\x05"[..],
            b"\0\0\0\x02\xff\xfe",
            b"\0\0\0\x02xy",
            b"\xff\xff\xff\xff",
            b"\0\0\0\x08\0\0\0\0\0\0\0\x07",
            b"\0\0\0\x04\0\0\0\x02",
        ];
        assert_eq!(out.tuples, expected.concat());
        assert_eq!(target_columns(&dataset), ["a", "b", "c", "_file_id", "_line"]);
    }

    #[test]
    fn only_an_unquoted_null_text_is_no_value() {
        let dataset = dataset(&[("a", "text"), ("b", "text")]);
        let cases = [
            (",NA", ["∅", "∅"]),
            ("\"\",\"NA\"", ["", "NA"]),
            ("na, NA", ["na", " NA"]),
            ("NA , ", ["NA ", " "]),
        ];
        for (row, expected) in cases {
            let (_, out, _) = read(&dataset, format!("a,b\n{row}\n").as_bytes(), &[]);
            assert_eq!(texts(&out), [expected], "{row}");
        }
    }

    #[test]
    fn a_quoted_empty_field_is_no_value_except_in_a_text_column() {
        let mut dataset = dataset(&[("a", "integer"), ("b", "text")]);
        dataset.csv.null = vec!["-".to_owned()];
        let (_, out, _) = read(&dataset, b"a,b\n\"\",\"\"\n-,\n,\n\"-\",x\n", &[]);
        assert_eq!(texts(&out), [["∅", ""], ["∅", ""]]);
        assert_eq!(
            out.rejects.iter().map(|reject| (reject.line, reject.rule)).collect::<Vec<_>>(),
            [(4, "type"), (5, "type")]
        );
    }

    #[test]
    fn a_required_column_without_a_value_rejects_the_row() {
        let mut dataset = dataset(&[("a", "text"), ("b", "integer")]);
        dataset.columns[1].required = true;
        let (_, out, _) = read(&dataset, b"a,b\nx,\ny,\"\"\nz,1\n", &[]);
        assert_eq!(out.rows, 1);
        for reject in &out.rejects {
            assert_eq!((reject.column.as_deref(), reject.rule), (Some("b"), "required"));
        }
    }

    #[test]
    fn a_fault_leaves_nothing_of_its_row() {
        let dataset = dataset(&[("a", "text"), ("b", "date")]);
        let (_, good, _) = read(&dataset, b"a,b\n1,2024-01-01\n", &[]);
        let (_, out, _) = read(&dataset, b"a,b\n1,2024-01-01\n2,2024-02-30\n\xff,2024-01-01\n", &[]);
        assert_eq!(out.tuples, good.tuples);
        assert_eq!(out.rejects.iter().map(|reject| reject.rule).collect::<Vec<_>>(), ["range", "encoding"]);
    }
}
