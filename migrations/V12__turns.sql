-- One dataset's trouble stays its own: turns for the relay, names that hold the watermark for a day and no longer, batches that
-- cannot be made, and listings that are much shorter than the one before.

-- The relay asks each dataset for what is due.
DROP INDEX IF EXISTS longshore.task_unpublished;
CREATE INDEX task_unpublished ON longshore.task (dataset_id, due_time, id) WHERE status = 'NEW' AND published_time IS NULL;

-- Whether a task that is due then is due now. Nothing is put off for an hour: a time that lies farther ahead was made by a clock that
-- has been set back since.
CREATE FUNCTION longshore.is_due(due_time timestamptz) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT due_time <= now() OR due_time > now() + interval '1 hour' $$;

-- Names that scans could not read, and old files that had to wait: scans look at each of them by its name until that works. No
-- key over the URI, which may be longer than what a btree entry holds; a dataset has at most 1,000 of them.
CREATE TABLE longshore.postponed (
    dataset_id integer     NOT NULL REFERENCES longshore.dataset,
    uri        text        NOT NULL,
    -- The start of the first scan that met it so. The watermark waits for it for a day.
    since      timestamptz NOT NULL
);
CREATE INDEX postponed_by_dataset ON longshore.postponed (dataset_id);
-- Where all tables are published, Postgres lets nobody delete from one that has neither a key nor this.
ALTER TABLE longshore.postponed REPLICA IDENTITY FULL;

-- Datasets whose waiting files cannot become tasks. Without a foreign key: it would wait for the lock on the dataset's row that
-- may be the very cause.
CREATE TABLE longshore.batch_trouble (
    dataset_id integer     PRIMARY KEY,
    since      timestamptz NOT NULL DEFAULT now(),
    last_time  timestamptz NOT NULL DEFAULT now(),
    error      text        NOT NULL
);

ALTER TABLE longshore.scan
    -- What an earlier complete scan of this kind listed, if this one listed nothing, or less than half of it.
    ADD COLUMN listed_before   bigint,
    -- Postponed names that the watermark does not wait for any more.
    ADD COLUMN names_postponed bigint NOT NULL DEFAULT 0;
