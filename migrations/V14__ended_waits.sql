-- When a load last ended a dataset's wait for its target table: until then the table took no rows, since then it does.
ALTER TABLE longshore.dataset ADD COLUMN wait_ended_time timestamptz;
