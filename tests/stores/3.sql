-- A store as version 3 of the schema wrote it. Made by `store::suite`; never changed after the release.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL,
    expires_ms INTEGER,
    digest INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "documents" VALUES('key','a',X'31',NULL,-7702281076659005201);
CREATE TABLE holds (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    ceiling INTEGER NOT NULL,
    request TEXT NOT NULL,
    tags INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    digest INTEGER NOT NULL
) STRICT;
INSERT INTO "holds" VALUES(9,6,1000,'r9',1,7,146047794935103434);
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
INSERT INTO "lines" VALUES(1,86400000,'r1',2,'answered','{"input":10,"output":1}',1,1000,10,7,0,NULL,NULL,NULL,-2124629286851482359);
INSERT INTO "lines" VALUES(2,86400001,'r2',3,'answered','{"input":10,"output":10}',10,1000,100,7,0,NULL,NULL,NULL,-5535894619218914573);
INSERT INTO "lines" VALUES(3,172800000,'r3',4,'answered','{"input":10,"output":100}',100,1000,1000,7,0,NULL,NULL,NULL,8363397462387599853);
INSERT INTO "lines" VALUES(4,172800001,'r4',4,'answered','{"input":10}',0,1000,0,7,0,3,-2,NULL,-6372662400302856758);
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
INSERT INTO "sums" VALUES(-2678400,0,0,3,0,0,'{"input":30,"output":111}',109,1110,302243243479167360);
INSERT INTO "sums" VALUES(-86400,86400,0,2,0,0,'{"input":20,"output":11}',11,110,-308273859875306861);
INSERT INTO "sums" VALUES(-86400,172800,0,1,0,0,'{"input":10,"output":100}',98,1000,-8876138117666165810);
INSERT INTO "sums" VALUES(-3600,86400,0,2,0,0,'{"input":20,"output":11}',11,110,3021912068528749682);
INSERT INTO "sums" VALUES(-3600,172800,0,1,0,0,'{"input":10,"output":100}',98,1000,2453800570836708207);
INSERT INTO "sums" VALUES(0,0,0,3,0,0,'{"input":30,"output":111}',109,1110,-2081351554932951372);
INSERT INTO "sums" VALUES(3600,86400,2,1,0,0,'{"input":10,"output":1}',1,10,5724212299126902863);
INSERT INTO "sums" VALUES(3600,86400,3,1,0,0,'{"input":10,"output":10}',10,100,-6421242132861991617);
INSERT INTO "sums" VALUES(3600,172800,4,1,0,0,'{"input":10,"output":100}',98,1000,-8363004062480441955);
INSERT INTO "sums" VALUES(86400,86400,2,1,0,0,'{"input":10,"output":1}',1,10,4884137046602953339);
INSERT INTO "sums" VALUES(86400,86400,3,1,0,0,'{"input":10,"output":10}',10,100,3179496134882766755);
INSERT INTO "sums" VALUES(86400,172800,4,1,0,0,'{"input":10,"output":100}',98,1000,-9127534023435846847);
INSERT INTO "sums" VALUES(2678400,0,2,1,0,0,'{"input":10,"output":1}',1,10,-940211725449925847);
INSERT INTO "sums" VALUES(2678400,0,3,1,0,0,'{"input":10,"output":10}',10,100,371813973806409182);
INSERT INTO "sums" VALUES(2678400,0,4,1,0,0,'{"input":10,"output":100}',98,1000,6382855910086392495);
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
INSERT INTO "tags" VALUES(1,'k','','','auto','p','m','{}',194068325724846650);
INSERT INTO "tags" VALUES(2,'a','','','auto','p','m','{"task":"code","tier":"x"}',7589220578871698498);
INSERT INTO "tags" VALUES(3,'a','','','auto','p','n','{"task":"chat"}',8695528868072604153);
INSERT INTO "tags" VALUES(4,'b','','','auto','p','m','{}',-3189139718073737106);
CREATE INDEX lines_at ON lines (at_ms);
CREATE INDEX documents_expire ON documents (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE VIEW ledger AS
    SELECT lines.id, datetime(at_ms / 1000, 'unixepoch') AS at, request, key, team, organisation, route, provider, model, labels,
        outcome, usage, cost / 1e9 AS cost_usd, reference / 1e9 AS reference_usd, flags & 1 AS estimated, corrects
    FROM lines JOIN tags ON tags.id = lines.tags;
COMMIT;
PRAGMA application_id = 1347240270;
PRAGMA user_version=3;
