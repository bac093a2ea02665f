"""The gateway from a configuration file, with real clients and backends on the loopback."""
