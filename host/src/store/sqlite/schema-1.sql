-- The first version of the store. Money is in whole nano-US-dollars, time in milliseconds since 1970 where a name ends in `_ms`,
-- else in seconds. `digest`: the first eight bytes of SHA-256 over the row's other values.

-- What a line is counted under, once for each combination. `labels`: a JSON object, its members sorted.
CREATE TABLE tags (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    organisation TEXT NOT NULL,
    route TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    labels TEXT NOT NULL,
    digest INTEGER NOT NULL,
    UNIQUE (key, team, organisation, route, provider, model, labels)
) STRICT;

-- Money that is reserved for attempts under way.
CREATE TABLE holds (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    ceiling INTEGER NOT NULL,
    request TEXT NOT NULL,
    tags INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    digest INTEGER NOT NULL
) STRICT;

-- What attempts came to: one line each, with the number of its hold. Never changed; a correction is a line of its own.
-- `flags`: 1 estimated, 2 resolved by the process after the one that made the hold.
CREATE TABLE lines (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    request TEXT NOT NULL,
    tags INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    usage TEXT NOT NULL,
    cost INTEGER,
    ceiling INTEGER NOT NULL,
    reference INTEGER,
    price_version INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    corrects INTEGER,
    corrected_by INTEGER,
    metadata TEXT,
    digest INTEGER NOT NULL
) STRICT;
CREATE INDEX lines_at ON lines (at_ms);

-- Sums of lines by hour (`seconds` 3600) and by day in UTC (86400), and of all lines (0): written with the lines themselves.
CREATE TABLE sums (
    seconds INTEGER NOT NULL,
    start INTEGER NOT NULL,
    tags INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    usage TEXT NOT NULL,
    cost INTEGER NOT NULL,
    reference INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    PRIMARY KEY (seconds, start, tags)
) STRICT, WITHOUT ROWID;

-- Keys, cached answers and whatever else has a kind and a name.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL,
    expires_ms INTEGER,
    digest INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_expire ON documents (expires_ms) WHERE expires_ms IS NOT NULL;

-- The ledger as people like to read it.
CREATE VIEW ledger AS
    SELECT lines.id, datetime(at_ms / 1000, 'unixepoch') AS at, request, key, team, organisation, route, provider, model, labels,
        outcome, usage, cost / 1e9 AS cost_usd, reference / 1e9 AS reference_usd, flags & 1 AS estimated, corrects
    FROM lines JOIN tags ON tags.id = lines.tags;
