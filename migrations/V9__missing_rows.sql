-- What was removed is counted against the ledger: what an operator has said about the differences.

ALTER TABLE longshore.file
    -- An operator asked for this load (`longshore reload`): it may have fewer rows than the version that it replaces.
    ADD COLUMN is_reload             boolean NOT NULL DEFAULT false,
    -- Rows of the versions that it replaces may be missing in the table: an operator said that they are gone.
    ADD COLUMN missing_rows_are_gone boolean NOT NULL DEFAULT false,
    -- Its last load had fewer rows than discovery.min_rows_ratio allows, and so it FAILED.
    ADD COLUMN has_too_few_rows      boolean NOT NULL DEFAULT false;
CREATE INDEX file_with_too_few_rows ON longshore.file (dataset_id) WHERE has_too_few_rows;

ALTER TABLE longshore.file_load
    -- Of the loaded rows, those of which an operator said that they are gone from the table.
    ADD COLUMN rows_gone bigint NOT NULL DEFAULT 0,
    ADD CHECK (rows_gone BETWEEN 0 AND rows_loaded);
