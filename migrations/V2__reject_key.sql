-- A file has at most one reject a line, and its place is its key: that is also what nobody can record twice. The number
-- of its own, its index and the check of the file cost each rejected row more than the row itself; the file is checked
-- by file_load, whose row is written in the same transaction.
DROP INDEX longshore.reject_by_file;
ALTER TABLE longshore.reject
    DROP COLUMN id,
    DROP CONSTRAINT reject_file_id_fkey,
    ADD PRIMARY KEY (file_id, line);
