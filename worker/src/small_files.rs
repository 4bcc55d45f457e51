//! Small files into their target table: they share a part of the load and its COPY, so that a file costs little more than
//! its rows.
//!
//! If Postgres refuses a row, its file is found by the row's number, or by halving where Postgres gives none, and the
//! others are sent again without it. Their tuples are kept for that until their COPY has ended.

use longshore_common::ledger::{self, FileLoad, RejectedRow, TaskFile};

use crate::{
    copy::{TableCopy, TargetTable},
    failure::Failure,
    outcomes::Outcomes,
    parcel::{WholeFile, WholeFiles},
};

/// Tuples that are kept: enough that what a COPY costs beside its rows does not show.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Files that are sent again together: what a group costs, and what its next refusal costs, are about the same then.
const RESENT_GROUP_FILES: usize = 32;
/// Rejects that wait for the end of the COPY.
const MAX_GROUP_REJECT_BYTES: usize = 1 << 20;

/// The small files of a task, on their way.
pub(crate) struct SmallFiles<'a> {
    table: &'a TargetTable<'a>,
    files: &'a [TaskFile],
    open: Option<Group<'a>>,
}

impl<'a> SmallFiles<'a> {
    /// `files` are all of the task.
    pub(crate) fn new(table: &'a TargetTable<'a>, files: &'a [TaskFile]) -> Self {
        Self { table, files, open: None }
    }

    /// Sends the good files and settles the others.
    pub(crate) async fn take(
        &mut self,
        whole: WholeFiles,
        outcomes: &mut Outcomes<'_, '_>,
    ) -> Result<(), Failure> {
        for (place, failure) in whole.failed {
            outcomes.fail(place, failure)?;
        }
        if whole.good.is_empty() {
            return Ok(());
        }
        let mut group = match self.open.take() {
            Some(group) => group,
            None => Group::begin(self.table).await?,
        };
        let rows = whole.good.iter().map(|file| file.part.rows).sum();
        group.keep(whole.good);
        match group.copy.send(whole.tuples, rows).await {
            Ok(()) if group.bytes < MAX_GROUP_BYTES && group.reject_bytes < MAX_GROUP_REJECT_BYTES => {
                self.open = Some(group);
                Ok(())
            }
            Ok(()) => self.end(group, outcomes).await,
            Err(failure) => self.load_others(group.files, failure, outcomes).await,
        }
    }

    /// Ends what is open: after this, every file taken is settled.
    pub(crate) async fn finish(&mut self, outcomes: &mut Outcomes<'_, '_>) -> Result<(), Failure> {
        match self.open.take() {
            Some(group) => self.end(group, outcomes).await,
            None => Ok(()),
        }
    }

    async fn end(&self, mut group: Group<'_>, outcomes: &mut Outcomes<'_, '_>) -> Result<(), Failure> {
        match group.end(self.files).await {
            Ok(loads) => outcomes.loaded(loads).await,
            Err(failure) => self.load_others(group.files, failure, outcomes).await,
        }
    }

    /// Postgres has refused a row of these files: loads the others.
    ///
    /// What stands behind a refused file is sent in small groups: it was sent once already, in vain, and the next refusal
    /// should not cost all of it again.
    async fn load_others(
        &self,
        files: Vec<WholeFile>,
        failure: Failure,
        outcomes: &mut Outcomes<'_, '_>,
    ) -> Result<(), Failure> {
        // The next batch is the last one, so that files stay in their order.
        let mut batches = Vec::new();
        self.set_apart(files, failure, &mut batches, outcomes).await?;
        while let Some(mut batch) = batches.pop() {
            if !batch.is_good && batch.files.len() > RESENT_GROUP_FILES {
                let files = batch.files.split_off(RESENT_GROUP_FILES);
                batches.push(Batch { files, is_good: false });
            }
            let mut group = Group::begin(self.table).await?;
            let ended = match group.send(batch.files).await {
                Ok(()) => group.end(self.files).await,
                Err(failure) => Err(failure),
            };
            match ended {
                Ok(loads) => outcomes.loaded(loads).await?,
                Err(failure) => self.set_apart(group.files, failure, &mut batches, outcomes).await?,
            }
        }
        Ok(())
    }

    /// Undoes the part; puts the refused file down as failed, and those before and behind it back as batches. Where
    /// Postgres does not say which file it is, both halves go back.
    async fn set_apart(
        &self,
        mut files: Vec<WholeFile>,
        failure: Failure,
        batches: &mut Vec<Batch>,
        outcomes: &mut Outcomes<'_, '_>,
    ) -> Result<(), Failure> {
        let Failure::Row { row, source } = failure else { return Err(failure) };
        self.table.undo_part().await?;
        let refused = find(&files, row);
        let behind = match refused {
            Some((index, row)) => {
                let behind = files.split_off(index + 1);
                if let Some(file) = files.pop() {
                    outcomes.fail(file.place, Failure::Row { row, source })?;
                }
                behind
            }
            None => files.split_off(files.len() / 2),
        };
        let halves = [Batch { files: behind, is_good: false }, Batch { files, is_good: refused.is_some() }];
        batches.extend(halves.into_iter().filter(|batch| !batch.files.is_empty()));
        Ok(())
    }
}

/// Files that are to be sent again.
struct Batch {
    files: Vec<WholeFile>,
    /// Postgres has taken them once, before it refused a row behind them.
    is_good: bool,
}

/// The file with this row of the COPY, counted from 1, and the row's number in it. A single file has every row, also one
/// whose number is not known.
fn find(files: &[WholeFile], row: Option<u64>) -> Option<(usize, Option<u64>)> {
    if files.len() == 1 {
        return Some((0, row));
    }
    let (row, mut before) = (row?, 0);
    for (index, file) in files.iter().enumerate() {
        if (before + 1..=before + file.part.rows).contains(&row) {
            return Some((index, Some(row - before)));
        }
        before += file.part.rows;
    }
    None
}

/// Files that share a COPY.
struct Group<'a> {
    table: &'a TargetTable<'a>,
    first_block: i64,
    copy: TableCopy<'a>,
    files: Vec<WholeFile>,
    bytes: usize,
    reject_bytes: usize,
}

impl<'a> Group<'a> {
    async fn begin(table: &'a TargetTable<'a>) -> Result<Self, Failure> {
        let first_block = table.begin_part().await?;
        let copy = TableCopy::new(table);
        Ok(Self { table, first_block, copy, files: Vec::new(), bytes: 0, reject_bytes: 0 })
    }

    fn keep(&mut self, files: Vec<WholeFile>) {
        for file in &files {
            self.bytes += file.part.tuples.len();
            self.reject_bytes += file.part.rejects.iter().map(RejectedRow::size_in_bytes).sum::<usize>();
        }
        self.files.extend(files);
    }

    /// Sends files again, in one frame: one of its own for each would take longer than their rows.
    async fn send(&mut self, files: Vec<WholeFile>) -> Result<(), Failure> {
        self.keep(files);
        let tuples: Vec<&[u8]> = self.files.iter().map(|file| &file.part.tuples[..]).collect();
        let rows = self.files.iter().map(|file| file.part.rows).sum();
        self.copy.send(tuples.concat().into(), rows).await
    }

    /// Ends the COPY, records the rejects and keeps the part; gives the files' counts. The files are there still.
    async fn end(&mut self, task_files: &[TaskFile]) -> Result<Vec<FileLoad>, Failure> {
        self.copy.end().await?;
        let rejects: Vec<RejectedRow> =
            self.files.iter_mut().flat_map(|file| std::mem::take(&mut file.part.rejects)).collect();
        if !rejects.is_empty() {
            ledger::record_rejects(self.table.transaction, &rejects).await?;
        }
        let end_block = self.table.end_part().await?;
        let load = |file: &WholeFile| {
            let file_id = task_files.get(file.place)?.id;
            Some(file.totals.file_load(file_id, file.part.rows, self.first_block..end_block))
        };
        Ok(self.files.iter().filter_map(load).collect())
    }
}
