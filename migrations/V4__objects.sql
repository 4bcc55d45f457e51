-- A known URI with new content, and a file as the unit of undo: which version's rows are in a table now.

-- One row a URI that was ever loaded. Loads lock it before they become visible, in the order of the keys, so that of two
-- versions that load at once the newer one's rows remain. No foreign keys: each would cost every loaded file an index
-- lookup, and file_load, written in the same transaction, has them.
CREATE TABLE longshore.object (
    -- The first 16 bytes of sha256(dataset_id as a big-endian int4 || URI): a URI may be longer than what a btree entry holds.
    key        uuid    PRIMARY KEY,
    dataset_id integer NOT NULL,
    -- The newest version whose rows are in the table; null after an unload.
    file_id    bigint
);

ALTER TABLE longshore.file
    -- discovery.on_change = "ignore": recorded, so that it is known, and never loaded.
    ADD COLUMN is_ignored boolean NOT NULL DEFAULT false;

ALTER TABLE longshore.file_load
    -- When its rows and rejects were removed from their tables again; the counts stay.
    ADD COLUMN removed_time timestamptz,
    -- The newer version whose load removed them; null if an operator unloaded them.
    ADD COLUMN replaced_by bigint REFERENCES longshore.file,
    ADD CHECK (replaced_by IS NULL OR removed_time IS NOT NULL);

-- Until now, a new version of a loaded file was not loaded: each URI has one at most. Were there more, the newest counts.
INSERT INTO longshore.object (key, dataset_id, file_id)
SELECT encode(substring(sha256(int4send(dataset_id) || convert_to(uri, 'UTF8')) FOR 16), 'hex')::uuid,
       dataset_id, max(file.id)
FROM longshore.file
JOIN longshore.file_load ON file_load.file_id = file.id
GROUP BY dataset_id, uri;

DROP INDEX longshore.file_waiting;
CREATE INDEX file_waiting ON longshore.file (dataset_id, file_modified_time, id) WHERE task_id IS NULL AND NOT is_ignored;

CREATE OR REPLACE VIEW longshore.scanner AS
SELECT id,
       uri AS file_name,
       file_modified_time,
       size_in_bytes,
       created_time,
       modified_time,
       CASE WHEN task_id IS NULL THEN 'SCANNED' ELSE 'SENT_FOR_ETL' END AS status
FROM longshore.file
WHERE NOT is_ignored;

COMMENT ON VIEW longshore.scanner IS 'Every file that a scan has found, but for those that discovery.on_change ignores';
