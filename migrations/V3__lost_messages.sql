-- How the relay notices messages that were lost after their confirm. Both questions are asked every few seconds, so neither
-- may ever scan the LOADED tasks.

ALTER TABLE longshore.task
    -- How often a message for the task was confirmed.
    ADD COLUMN publications integer NOT NULL DEFAULT 0;

-- Which published task has waited longest for a worker?
CREATE INDEX task_waiting ON longshore.task (published_time) WHERE status = 'NEW' AND published_time IS NOT NULL;

-- Which task was published last, of those that workers have claimed? Only tasks that were published once tell how far
-- workers are in the queue: of two messages for a task, nobody knows which of them was answered.
CREATE INDEX task_overtaking ON longshore.task (published_time)
    WHERE status IN ('PROCESSING', 'LOADED') AND publications = 1 AND published_time IS NOT NULL;
