-- Who may do what on a ClickHouse server: run it once, as an administrator (clickhouse-client --multiquery < grants.sql), again after
-- an upgrade if you like. Nobody can log in by it: give the users a password and a host, as below.

-- Analysts, dbt and Grafana. Views run with the rights of who asks, so the tables below them can be read as well.
CREATE ROLE IF NOT EXISTS volvere_reader;

GRANT SELECT ON volvere.* TO volvere_reader;

GRANT SELECT ON volvere_store.* TO volvere_reader;

-- 2: they may set what a client sets, such as a time zone, but change nothing. A question may take two minutes and 8 GB.
CREATE SETTINGS PROFILE IF NOT EXISTS volvere_reader
SETTINGS readonly = 2, max_execution_time = 120, max_memory_usage = 8000000000
TO volvere_reader;

CREATE USER IF NOT EXISTS volvere_analyst IDENTIFIED WITH no_password HOST NONE DEFAULT ROLE volvere_reader;

GRANT volvere_reader TO volvere_analyst;

-- The workers, `volvere store migrate` and `volvere rebuild`: both databases, and nothing else.
CREATE ROLE IF NOT EXISTS volvere_writer;

GRANT SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE ON volvere.* TO volvere_writer;

GRANT SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SYSTEM VIEWS ON volvere_store.* TO volvere_writer;

GRANT SELECT ON system.tables TO volvere_writer;

GRANT SELECT ON system.columns TO volvere_writer;

GRANT CLUSTER ON *.* TO volvere_writer;

CREATE USER IF NOT EXISTS volvere_worker IDENTIFIED WITH no_password HOST NONE DEFAULT ROLE volvere_writer;

GRANT volvere_writer TO volvere_worker;

-- Then, with passwords of your own (a person's user is made like volvere_analyst):
--   ALTER USER volvere_analyst IDENTIFIED WITH sha256_password BY '...' HOST IP '10.0.0.0/8';
--   ALTER USER volvere_worker IDENTIFIED WITH sha256_password BY '...' HOST IP '10.0.0.0/8';
