-- Datasets whose target table cannot take their rows at present, whatever the file: its columns are not those of the spec, it is
-- missing, or a right is missing. The row is there exactly while the dataset waits. Its tasks stay NEW: one at a time is tried, and the
-- first one that loads, or an apply, ends the wait.
CREATE TABLE longshore.target_wait (
    dataset_id    integer     PRIMARY KEY REFERENCES longshore.dataset ON DELETE CASCADE,
    since         timestamptz NOT NULL DEFAULT now(),
    -- Why the last try loaded nothing.
    reason        text        NOT NULL,
    -- Tries since then. The pause before the next one doubles with each, up to a minute.
    tries         integer     NOT NULL DEFAULT 0,
    -- When another task is tried, if none is on its way.
    next_try_time timestamptz NOT NULL,
    -- The one that is tried. No other task of the dataset is published or claimed.
    task_id       uuid
);
