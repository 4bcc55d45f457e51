//! The books: all SQL on schema `longshore`, one module a concern. Every statement stands next to the function that
//! runs it; no other crate writes SQL on these tables.
//!
//! A statement that finds a task by its key writes `status || '' = 'NEW'`: an expression, so that the key is the only index for it. With
//! statistics from a quiet day the planner believes that hardly any task is NEW, and reads an index of NEW tasks from end to end.

mod after_load;
mod apply;
mod audits;
mod batch_trouble;
mod claims;
mod datasets;
mod few_rows;
mod files;
mod history;
mod installation;
mod leases;
mod listing;
mod loads;
mod lost_messages;
mod missing;
mod objects;
mod outbox;
mod overview;
mod postponed;
mod rejects;
mod reload;
mod removal;
mod rescue;
mod retry;
mod row_search;
mod scan_list;
mod scans;
mod settlement;
mod source_change;
mod splitting;
mod table_shape;
mod target;
mod target_shape;
mod target_wait;
mod tasks;
mod totals;
mod verify;
mod waiting;

pub use after_load::{
    AfterLoadCounts, AfterLoadRecord, DueAfterLoad, datasets_with_due_after_loads, due_after_loads,
    flush_commits, has_failing_after_loads, hold_spec, lock_due_after_loads, plan_after_load,
    record_after_loads, reopen_after_loads,
};
pub use apply::{Applied, ApplyOptions, SourceChange, apply};
pub use audits::{
    AuditFindings, GoneFiles, begin_comparison, find_gone, known_files, last_audit, note_listed,
};
pub use batch_trouble::{
    BatchTrouble, batch_troubles, clear_batch_trouble, ids_in_batch_trouble, record_batch_trouble,
};
pub use claims::{
    Claim, ClaimOutcome, Claimant, Heartbeat, Held, LostClaim, TaskFile, claim, heartbeat, is_failed, is_new,
    is_running, lost_claim, publish_again_later, put_off,
};
pub use datasets::{
    DatasetSummary, StoredDataset, UnreadableSpec, current_dataset, dataset_names, dataset_summaries,
    datasets,
};
pub use few_rows::{TooFewRows, files_with_too_few_rows, mark_too_few_rows, with_too_few_rows};
pub use files::{Comparison, REFUSED_CHANGE, compare_and_enlist};
pub use history::{
    AttemptRecord, FileVersion, History, LastLook, NewerVersion, Subject, TableWait, TaskHistory,
    WaitingBatch, file_history, last_looks, moved_from, task_history,
};
pub use installation::{
    amqp_prefix, broker_alarm_since, installation_id, record_amqp_prefix, record_broker_alarm,
};
pub(crate) use installation::{schema_version, works_with};
pub use leases::{Lock, end_lease_holder, try_lock, try_lock_from_silent, unlock};
pub(crate) use leases::{MIGRATION_KEY, SINGLE_CLASS};
pub use listing::{FileRow, TaskRow, TaskStatus, list_files, list_tasks};
pub use loads::{FileLoad, RejectedRow, record_file_loads, record_rejects};
pub use lost_messages::{LongestPublished, longest_published, overtaken_until, unpublish_page};
pub use missing::{
    MissedFile, miss, missed_by_scanner, missed_files, record_source_mark, seen_by_scanner, set_aside,
    worker_name,
};
pub use objects::{KeptOut, PlacesTaken, WhyKeptOut, record_superseded, replacing, take_places};
pub use outbox::{TASK_CHANNEL, Unpublished, mark_published, unpublished};
pub use overview::{FileCounts, Overview, RowCounts, TaskCounts, open_published_tasks, overview};
pub use postponed::{
    PostponedFiles, PostponedName, datasets_with_postponed, postponed_names, record_postponed,
};
pub use rejects::{RejectRow, RejectScope, find_reject_scope, read_rejects};
pub use reload::{Reloading, UndoError, Unloaded, datasets_of_uri, reload, unload};
pub use removal::{RemovalError, RemovalFrom, RowsDiffer};
pub use rescue::{Gone, Holder, OpenTask, Rescue, end_silent_holder, open_tasks, rescue, take_death_back};
pub use retry::{Retried, failed_tasks, retry};
pub use scan_list::{FailingDataset, ScanRow, ShortListing, failing_datasets, list_scans, short_listings};
pub use scans::{
    EarlyEnd, Expected, NamedFiles, ScanCounts, ScanKind, begin_scan, end_early, finish_scan,
    last_complete_scan, record_progress,
};
pub use settlement::{carve_out, fail, give_back, mark_loaded, retry_full_disk, retry_later, wait_for_table};
pub use splitting::{SUSPECT_DEATHS, Split, SplitError, halve, split};
pub use target::{ApplyError, ColumnChange, TableChange, begin_part, end_part, quoted_table, undo_part};
pub use target_shape::{TableShape, begin_first_part};
pub use target_wait::{
    WaitingDataset, choose_tries, end_wait_with_rows, has_ended_a_wait_since, try_another_now,
    waiting_datasets,
};
pub use tasks::{NewTask, create_tasks};
pub use totals::add_up_totals;
pub use verify::{DifferingFile, DifferingFiles, Verified, has_table, verify};
pub use waiting::{WaitingFile, database_time, is_batch_due, waiting_files};
