-- Scans and audits: who runs one, how far it is, how it ended, and what an audit found.

ALTER TABLE longshore.scan
    ADD COLUMN kind          text        NOT NULL DEFAULT 'SCAN' CHECK (kind IN ('SCAN', 'AUDIT')),
    -- The session that runs it: while that one holds the dataset's lock, the scan runs.
    ADD COLUMN backend_pid   integer,
    -- When the counts were last written; about once a second while it runs.
    ADD COLUMN progress_time timestamptz NOT NULL DEFAULT now(),
    -- Null while it runs, and after it died, until the dataset's next scan begins.
    ADD COLUMN outcome       text        CHECK (outcome IN ('COMPLETE', 'FAILED', 'STOPPED', 'DIED')),
    -- Of a FAILED scan: the start of the first one since the last COMPLETE one of its kind.
    ADD COLUMN failing_since timestamptz,
    -- Reason to the first URIs that were skipped for it: those that could not be read; in an audit, of every reason.
    ADD COLUMN skipped_uris  jsonb       NOT NULL DEFAULT '{}',
    -- What an audit found: files that scans had missed, and those that are gone from the store.
    ADD COLUMN audit         jsonb;

UPDATE longshore.scan
SET progress_time = coalesce(finished_time, started_time),
    outcome = CASE WHEN finished_time IS NULL THEN NULL WHEN error IS NULL THEN 'COMPLETE' ELSE 'FAILED' END,
    failing_since = CASE WHEN error IS NOT NULL THEN started_time END;

-- By id, the order in which scans of a dataset began: clocks can be set back.
DROP INDEX longshore.scan_by_dataset;
CREATE INDEX scan_by_dataset ON longshore.scan (dataset_id, id DESC);
CREATE INDEX scan_by_kind ON longshore.scan (dataset_id, kind, id DESC);
CREATE INDEX scan_without_outcome ON longshore.scan (dataset_id) WHERE outcome IS NULL;
