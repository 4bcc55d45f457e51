-- Counts that need not read the whole ledger, and indexes for its queues and lists only.

-- Loads update attempt rows (heartbeats, the end) but no indexed column of them once attempt_running is gone: with room in
-- the page such an update needs no new index entry. Running attempts are found by their tasks, which are PROCESSING.
DROP INDEX longshore.attempt_running;
ALTER TABLE longshore.attempt SET (fillfactor = 85);

-- Every task changes three times. The default threshold, a fifth of the table, would leave ten million dead rows in a table of fifty.
ALTER TABLE longshore.task SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE longshore.attempt SET (autovacuum_vacuum_scale_factor = 0.02);

-- LOADED tasks have no place in an index by status: they are nearly all, and entries for them cost each load one more.
-- With the id as second column, a statement that asks for both finds its task at once.
DROP INDEX longshore.task_by_status;
CREATE INDEX task_not_loaded ON longshore.task (status, id) WHERE status <> 'LOADED';

-- For lists by dataset or state. None has an entry for a file that is simply loaded: BRIN has one for each 32 pages.
CREATE INDEX file_by_dataset ON longshore.file USING brin (dataset_id) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX task_by_dataset ON longshore.task USING brin (dataset_id) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX file_ignored ON longshore.file (id) WHERE is_ignored;
CREATE INDEX file_load_removed ON longshore.file_load (file_id) WHERE removed_time IS NOT NULL;
CREATE INDEX after_load_moved_to ON longshore.after_load USING hash (moved_to) WHERE moved_to IS NOT NULL;

-- The planner may leave the files out where nobody asks for them, which a CROSS JOIN does not allow.
CREATE OR REPLACE VIEW longshore.etl_task AS
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
LEFT JOIN LATERAL (
    SELECT string_agg(replace(uri, ',', '%2C'), ',' ORDER BY file_modified_time, id) AS uris,
           bool_and(superseded_by IS NOT NULL) AS superseded
    FROM longshore.file
    WHERE file.task_id = task.id
) AS file ON true;

-- How many files, tasks and loaded rows there are: the sum of both tables. Each statement that adds or removes some appends
-- its difference to total_change, where no transaction waits for another; now and then the scanner adds the differences to
-- total and deletes them, in one transaction. So the sum is exact in every snapshot, whoever changes the tables.
CREATE TABLE longshore.total (
    -- Of rows, which are counted without their dataset: 0.
    dataset_id    integer PRIMARY KEY,
    -- With the ignored ones.
    files         bigint  NOT NULL DEFAULT 0,
    files_ignored bigint  NOT NULL DEFAULT 0,
    tasks         bigint  NOT NULL DEFAULT 0,
    -- Of loads whose rows are in their tables.
    rows_read     bigint  NOT NULL DEFAULT 0,
    rows_loaded   bigint  NOT NULL DEFAULT 0,
    rows_rejected bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE longshore.total_change (LIKE longshore.total INCLUDING DEFAULTS)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- Where all tables are published, Postgres lets nobody delete from one that has neither a key nor this.
ALTER TABLE longshore.total_change REPLICA IDENTITY FULL;

CREATE FUNCTION longshore.count_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO longshore.total_change (dataset_id, files, files_ignored)
        SELECT dataset_id, count(*), count(*) FILTER (WHERE is_ignored) FROM changed GROUP BY dataset_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO longshore.total_change (dataset_id, files, files_ignored)
        SELECT dataset_id, -count(*), -count(*) FILTER (WHERE is_ignored) FROM changed GROUP BY dataset_id;
    ELSE
        INSERT INTO longshore.total_change (dataset_id, files, files_ignored)
        SELECT dataset_id, -count(*), -count(*) FILTER (WHERE is_ignored) FROM longshore.file GROUP BY dataset_id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION longshore.count_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO longshore.total_change (dataset_id, tasks)
        SELECT dataset_id, count(*) FROM changed GROUP BY dataset_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO longshore.total_change (dataset_id, tasks)
        SELECT dataset_id, -count(*) FROM changed GROUP BY dataset_id;
    ELSE
        INSERT INTO longshore.total_change (dataset_id, tasks)
        SELECT dataset_id, -count(*) FROM longshore.task GROUP BY dataset_id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION longshore.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO longshore.total_change (dataset_id, rows_read, rows_loaded, rows_rejected)
        SELECT 0, sum(rows_read), sum(rows_loaded), sum(rows_rejected)
        FROM changed WHERE removed_time IS NULL HAVING count(*) > 0;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO longshore.total_change (dataset_id, rows_read, rows_loaded, rows_rejected)
        SELECT 0, sum(sign * rows_read), sum(sign * rows_loaded), sum(sign * rows_rejected)
        FROM (SELECT 1 AS sign, * FROM changed UNION ALL SELECT -1, * FROM before) AS load
        WHERE removed_time IS NULL HAVING count(*) > 0;
    ELSE
        INSERT INTO longshore.total_change (dataset_id, rows_read, rows_loaded, rows_rejected)
        SELECT 0, -sum(rows_read), -sum(rows_loaded), -sum(rows_rejected)
        FROM changed WHERE removed_time IS NULL HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION longshore.count_no_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO longshore.total_change (dataset_id, rows_read, rows_loaded, rows_rejected)
    SELECT 0, -sum(rows_read), -sum(rows_loaded), -sum(rows_rejected)
    FROM longshore.file_load WHERE removed_time IS NULL HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- These keep writers out until the migration has committed, so that what is counted below misses nothing.
CREATE TRIGGER count_inserted AFTER INSERT ON longshore.file REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_files();
CREATE TRIGGER count_deleted AFTER DELETE ON longshore.file REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_files();
CREATE TRIGGER count_truncated BEFORE TRUNCATE ON longshore.file
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_files();
CREATE TRIGGER count_inserted AFTER INSERT ON longshore.task REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_tasks();
CREATE TRIGGER count_deleted AFTER DELETE ON longshore.task REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_tasks();
CREATE TRIGGER count_truncated BEFORE TRUNCATE ON longshore.task
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_tasks();
CREATE TRIGGER count_inserted AFTER INSERT ON longshore.file_load REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_rows();
CREATE TRIGGER count_updated AFTER UPDATE ON longshore.file_load REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_rows();
CREATE TRIGGER count_deleted AFTER DELETE ON longshore.file_load REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_rows();
CREATE TRIGGER count_truncated BEFORE TRUNCATE ON longshore.file_load
    FOR EACH STATEMENT EXECUTE FUNCTION longshore.count_no_rows();

INSERT INTO longshore.total (dataset_id, files, files_ignored, tasks)
SELECT dataset.id, coalesce(file.files, 0), coalesce(file.ignored, 0), coalesce(task.tasks, 0)
FROM longshore.dataset
LEFT JOIN (SELECT dataset_id, count(*) AS files, count(*) FILTER (WHERE is_ignored) AS ignored
           FROM longshore.file GROUP BY dataset_id) AS file ON file.dataset_id = dataset.id
LEFT JOIN (SELECT dataset_id, count(*) AS tasks FROM longshore.task GROUP BY dataset_id) AS task ON task.dataset_id = dataset.id;
INSERT INTO longshore.total (dataset_id, rows_read, rows_loaded, rows_rejected)
SELECT 0, coalesce(sum(rows_read), 0), coalesce(sum(rows_loaded), 0), coalesce(sum(rows_rejected), 0)
FROM longshore.file_load WHERE removed_time IS NULL;
