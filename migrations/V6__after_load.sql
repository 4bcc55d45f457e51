-- What is to become of loaded files: one row a file, written in the transaction that loads its rows, if the spec says move or
-- delete then. What is done, and where to, the current spec decides: one that was mended mends what is open.
CREATE TABLE longshore.after_load (
    file_id       bigint      PRIMARY KEY REFERENCES longshore.file,
    dataset_id    integer     NOT NULL REFERENCES longshore.dataset,
    -- Tries that failed.
    tries         integer     NOT NULL DEFAULT 0,
    due_time      timestamptz NOT NULL DEFAULT now(),
    done_time     timestamptz,
    outcome       text        CHECK (outcome IN ('MOVED', 'DELETED', 'GONE', 'LEFT')),
    -- Why the last try failed, or why the file was left where it is.
    reason        text,
    -- Where the file lies now, if it was moved.
    moved_to      text,
    CHECK ((done_time IS NULL) = (outcome IS NULL)),
    CHECK (moved_to IS NULL OR outcome = 'MOVED')
);
-- In the order in which they are worked off: those that keep failing do not hold up the others.
CREATE INDEX after_load_open ON longshore.after_load (dataset_id, tries, due_time) WHERE done_time IS NULL;
