-- When a file's content or status last changed, as its store said when the load opened it; NULL where no store says that. A file
-- that has a later one by now was touched since, and is neither moved nor deleted.
ALTER TABLE longshore.file_load ADD COLUMN file_changed_time timestamptz;

-- A loaded file is moved or deleted only after discovery.after_load_delay. What loads without a word of the delay have planned,
-- or plan while programs of both versions run, waits for as long as the delay is by default.
ALTER TABLE longshore.after_load ALTER COLUMN due_time SET DEFAULT now() + interval '1 hour';
UPDATE longshore.after_load SET due_time = due_time + interval '1 hour' WHERE done_time IS NULL AND tries = 0;

-- Files that were gone: one that a scan lists again was only out of sight, behind a mount that was away, say.
CREATE INDEX after_load_gone ON longshore.after_load (dataset_id) WHERE outcome = 'GONE';
