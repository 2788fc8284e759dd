-- What gateways of a fleet share. Amounts are nano-dollars; what is kept of a gateway is what it said of itself last.
CREATE TABLE IF NOT EXISTS pointsman_fleet (
    format integer PRIMARY KEY,
    -- The run of the server that these tables were last used with. Another run may have lost what gateways know.
    run text NOT NULL DEFAULT '',
    -- Nothing is lent before this moment: gateways say what they were lent.
    settles timestamptz NOT NULL DEFAULT 'epoch'
);
CREATE TABLE IF NOT EXISTS pointsman_gateways (
    name text PRIMARY KEY,
    -- The store that its ledger is in: another one cannot go by its name.
    store text NOT NULL,
    -- Of its connection. What an earlier one still has under way changes nothing.
    session text NOT NULL,
    said bigint NOT NULL DEFAULT 0,
    seen timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS pointsman_leases (
    scope text NOT NULL,
    period text NOT NULL,
    zone text NOT NULL,
    start_ms bigint NOT NULL,
    gateway text NOT NULL,
    end_ms bigint NOT NULL,
    -- What the gateway may spend; what it has spent and holds is part of it.
    lent bigint NOT NULL,
    spent bigint NOT NULL,
    held bigint NOT NULL,
    -- What it could not have.
    need bigint NOT NULL,
    PRIMARY KEY (scope, period, zone, start_ms, gateway)
);
CREATE INDEX IF NOT EXISTS pointsman_leases_of ON pointsman_leases (gateway, end_ms);
CREATE INDEX IF NOT EXISTS pointsman_leases_end ON pointsman_leases (end_ms);
INSERT INTO pointsman_fleet (format) VALUES (1) ON CONFLICT DO NOTHING;
