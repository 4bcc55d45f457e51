//! A record's fields → one tuple of a binary COPY, or the fault that rejects the row.

use super::{fields::Field, header::Header, plan::RowPlan, reject::Fault};

/// What a binary COPY begins with: signature, flags, length of the header's extension.
pub const COPY_HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What a binary COPY ends with: a field count of -1.
pub const COPY_TRAILER: [u8; 2] = [0xff, 0xff];

/// What turns the records of one file into tuples.
#[derive(Debug)]
pub(super) struct Encoder {
    header: Header,
    tuple_count: [u8; 2],
    file_id: [u8; 8],
    /// For a field's text without its quotes.
    unquoted: Vec<u8>,
    /// For a value in another notation.
    rewritten: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(plan: &RowPlan, header: Header, file_id: i64) -> Self {
        Self {
            header,
            // At most 1600: the spec's check says so.
            tuple_count: (plan.columns.len() as i16 + 2).to_be_bytes(),
            file_id: file_id.to_be_bytes(),
            unquoted: Vec::new(),
            rewritten: Vec::new(),
        }
    }

    /// The column of the spec that this field of a record is, if it is one.
    pub(super) fn column_of_field(&self, fields: &[Field], field: usize) -> Option<usize> {
        let Header { field_of_column, field_count } = &self.header;
        field_of_column.iter().position(|&place| place == field && fields.len() == *field_count)
    }

    /// Appends the record's tuple to `out`; after a fault `out` is as it was.
    pub(super) fn encode(
        &mut self,
        plan: &RowPlan,
        record: &[u8],
        fields: &[Field],
        line: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if fields.len() != self.header.field_count {
            return Err(Fault::FieldCount { expected: self.header.field_count });
        }
        let before = out.len();
        let encoded = self.append_tuple(plan, record, fields, line, out);
        if encoded.is_err() {
            out.truncate(before);
        }
        encoded
    }

    fn append_tuple(
        &mut self,
        plan: &RowPlan,
        record: &[u8],
        fields: &[Field],
        line: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.extend_from_slice(&self.tuple_count);
        for (index, (column, &place)) in plan.columns.iter().zip(&self.header.field_of_column).enumerate() {
            let cell = fields[place].cell(record, &plan.dialect, &mut self.unquoted);
            let appended = column.append(cell, &mut self.rewritten, out);
            appended.map_err(|fault| Fault::Column(index, fault))?;
        }
        let mut lineage = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        lineage[4..12].copy_from_slice(&self.file_id);
        lineage[16..].copy_from_slice(&line.to_be_bytes());
        out.extend_from_slice(&lineage);
        Ok(())
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
        let plan = RowPlan::compile(&dataset).unwrap();
        assert_eq!(plan.target_columns(), ["a", "b", "c", "_file_id", "_line"]);
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
