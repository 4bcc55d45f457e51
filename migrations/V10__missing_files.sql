-- Who missed a file, and the source that was scanned: a file that one process cannot find need not be gone.

ALTER TABLE longshore.file
    -- When a load first found the file missing from its store, and the process that missed it; a later look of a scanner takes the
    -- worker's place. Another process that misses it ten minutes later or more makes its task FAILED.
    ADD COLUMN missed_time timestamptz,
    ADD COLUMN missed_by   text;
CREATE INDEX file_missed ON longshore.file (task_id) WHERE missed_time IS NOT NULL;

ALTER TABLE longshore.dataset
    -- What the source's root was to the last scan that found something in it: the inode of the folder, or the bucket's endpoint. Where a
    -- worker sees another one, a file that it misses is no missing file.
    ADD COLUMN source_mark text;
