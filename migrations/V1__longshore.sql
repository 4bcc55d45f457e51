-- The system's own tables, and the two views that are the published contract.
-- The target tables of the datasets live in schema reporting and are made by `longshore dataset apply`.

CREATE SCHEMA IF NOT EXISTS longshore;
CREATE SCHEMA IF NOT EXISTS reporting;

CREATE TABLE longshore.dataset (
    id              integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text        NOT NULL UNIQUE,
    target_table    text        NOT NULL UNIQUE,
    current_version integer     NOT NULL,
    -- Newest modified time among the files of all finished scans, never later than the start of the scan that saw it.
    watermark       timestamptz,
    created_time    timestamptz NOT NULL DEFAULT now(),
    modified_time   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE longshore.dataset_version (
    dataset_id   integer     NOT NULL REFERENCES longshore.dataset,
    version      integer     NOT NULL,
    spec         jsonb       NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset_id, version)
);

CREATE TABLE longshore.scan (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id     integer     NOT NULL REFERENCES longshore.dataset,
    started_time   timestamptz NOT NULL DEFAULT now(),
    finished_time  timestamptz,
    files_listed   bigint      NOT NULL DEFAULT 0,
    files_new      bigint      NOT NULL DEFAULT 0,
    files_known    bigint      NOT NULL DEFAULT 0,
    -- Reason to number of files.
    files_skipped  jsonb       NOT NULL DEFAULT '{}',
    new_bytes      bigint      NOT NULL DEFAULT 0,
    error          text
);
CREATE INDEX scan_by_dataset ON longshore.scan (dataset_id, started_time DESC);

CREATE TABLE longshore.task (
    id                 uuid        PRIMARY KEY,
    -- The advisory lock that a worker holds for as long as it works on this task.
    -- The keys begin high, away from the small numbers that other programs of the same database may lock.
    lease_key          bigint      GENERATED ALWAYS AS IDENTITY (START WITH 7162300000000001) UNIQUE,
    dataset_id         integer     NOT NULL REFERENCES longshore.dataset,
    status             text        NOT NULL DEFAULT 'NEW' CHECK (status IN ('NEW', 'PROCESSING', 'LOADED', 'FAILED')),
    -- Only grows; the fence of every later statement about this task.
    attempt            integer     NOT NULL DEFAULT 0,
    deaths             integer     NOT NULL DEFAULT 0,
    due_time           timestamptz NOT NULL DEFAULT now(),
    published_time     timestamptz,
    first_failure_time timestamptz,
    failure_msg        text,
    -- W3C trace context of the scan that made the task.
    traceparent        text,
    created_time       timestamptz NOT NULL DEFAULT now(),
    modified_time      timestamptz NOT NULL DEFAULT now(),
    CHECK (status <> 'FAILED' OR failure_msg IS NOT NULL)
);
CREATE INDEX task_unpublished ON longshore.task (due_time) WHERE status = 'NEW' AND published_time IS NULL;
CREATE INDEX task_processing ON longshore.task (lease_key) WHERE status = 'PROCESSING';
CREATE INDEX task_by_status ON longshore.task (status, dataset_id);

CREATE TABLE longshore.file (
    id                 bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id         integer     NOT NULL REFERENCES longshore.dataset,
    -- Null until a batch takes the file: SCANNED; afterwards SENT_FOR_ETL.
    task_id            uuid        REFERENCES longshore.task,
    uri                text        NOT NULL,
    file_modified_time timestamptz NOT NULL,
    size_in_bytes      bigint      NOT NULL CHECK (size_in_bytes >= 0),
    etag               text        NOT NULL DEFAULT '',
    -- Digest over dataset, URI, modified time, size and etag.
    identity           uuid        NOT NULL UNIQUE,
    -- A newer version of the same URI that was enlisted because this one had not been loaded.
    superseded_by      bigint      REFERENCES longshore.file,
    created_time       timestamptz NOT NULL DEFAULT now(),
    modified_time      timestamptz NOT NULL DEFAULT now()
);
-- A hash index, because a URI may be longer than what a btree entry holds.
CREATE INDEX file_by_uri ON longshore.file USING hash (uri);
CREATE INDEX file_by_task ON longshore.file (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX file_waiting ON longshore.file (dataset_id, file_modified_time, id) WHERE task_id IS NULL;

-- One row a claim.
CREATE TABLE longshore.attempt (
    task_id         uuid        NOT NULL REFERENCES longshore.task,
    attempt         integer     NOT NULL,
    worker          text        NOT NULL,
    dataset_version integer     NOT NULL,
    started_time    timestamptz NOT NULL DEFAULT now(),
    heartbeat_time  timestamptz NOT NULL DEFAULT now(),
    bytes_read      bigint      NOT NULL DEFAULT 0,
    rows_read       bigint      NOT NULL DEFAULT 0,
    finished_time   timestamptz,
    outcome         text        CHECK (outcome IN ('LOADED', 'RETRY', 'STOPPED', 'DIED', 'FAILED')),
    error           text,
    PRIMARY KEY (task_id, attempt)
);
CREATE INDEX attempt_running ON longshore.attempt (task_id) WHERE finished_time IS NULL;

-- One row a loaded file, written in the transaction that loads its rows.
CREATE TABLE longshore.file_load (
    file_id       bigint      PRIMARY KEY REFERENCES longshore.file,
    task_id       uuid        NOT NULL REFERENCES longshore.task,
    attempt       integer     NOT NULL,
    rows_read     bigint      NOT NULL,
    rows_loaded   bigint      NOT NULL,
    rows_rejected bigint      NOT NULL,
    bytes_read    bigint      NOT NULL,
    -- The target table's blocks before and after the load: where to look for this file's rows.
    first_block   bigint      NOT NULL,
    end_block     bigint      NOT NULL,
    loaded_time   timestamptz NOT NULL DEFAULT now(),
    CHECK (rows_read = rows_loaded + rows_rejected)
);
CREATE INDEX file_load_by_task ON longshore.file_load (task_id);

CREATE TABLE longshore.reject (
    id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id     bigint  NOT NULL REFERENCES longshore.file,
    line        integer NOT NULL,
    -- In the decompressed file.
    byte_offset bigint  NOT NULL,
    column_name text,
    raw         text    NOT NULL,
    rule        text    NOT NULL,
    reason      text    NOT NULL
);
CREATE INDEX reject_by_file ON longshore.reject (file_id, line);

CREATE VIEW longshore.scanner AS
SELECT id,
       uri AS file_name,
       file_modified_time,
       size_in_bytes,
       created_time,
       modified_time,
       CASE WHEN task_id IS NULL THEN 'SCANNED' ELSE 'SENT_FOR_ETL' END AS status
FROM longshore.file;

CREATE VIEW longshore.etl_task AS
SELECT task.id,
       file.uris AS files,
       task.created_time,
       task.modified_time,
       task.status,
       CASE WHEN task.status = 'FAILED' AND file.superseded
            THEN 'superseded by a newer version of the file; ' || task.failure_msg
            ELSE task.failure_msg
       END AS failure_msg
FROM longshore.task
CROSS JOIN LATERAL (
    SELECT string_agg(replace(uri, ',', '%2C'), ',' ORDER BY file_modified_time, id) AS uris,
           bool_and(superseded_by IS NOT NULL) AS superseded
    FROM longshore.file
    WHERE file.task_id = task.id
) AS file;

COMMENT ON SCHEMA longshore IS 'The books of Longshore: which files exist, which tasks, what was loaded and what was rejected';
COMMENT ON SCHEMA reporting IS 'The rows that Longshore loaded, a table a dataset';
COMMENT ON VIEW longshore.scanner IS 'Every file that a scan has found';
COMMENT ON VIEW longshore.etl_task IS 'Every group of files that a worker loads as one transaction';
