-- Which installation this database is of, and with what it works together. One row.

CREATE TABLE longshore.installation (
    is_only            boolean     PRIMARY KEY DEFAULT TRUE CHECK (is_only),
    -- Stands in each message, so that one of another database can be named as such.
    id                 uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- LONGSHORE_AMQP_PREFIX of the first service that ran. With another one, a second relay would publish into queues that
    -- nobody reads. To change it: stop all services, set this to NULL.
    amqp_prefix        text,
    -- A program works with a schema that is newer than itself only if that schema says so. A migration with which earlier
    -- programs work sets schema_version to its own number, and oldest_program to the newest migration that these know.
    schema_version     integer     NOT NULL DEFAULT 11,
    oldest_program     integer     NOT NULL DEFAULT 11,
    -- Since when the relay finds RabbitMQ under a memory or disk alarm.
    broker_alarm_since timestamptz
);

INSERT INTO longshore.installation DEFAULT VALUES;
