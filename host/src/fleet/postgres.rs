//! The lender in PostgreSQL: three tables that the first gateway makes.
//!
//! One exchange is one transaction, sent as a whole and answered as a whole. It takes the one row of `pointsman_fleet` first, so
//! that there is one at a time; a gateway that hangs in the middle of it holds nobody up, since nothing of it waits for a gateway.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::{try_join, try_join_all, try_join5};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::tls::Tls;
use super::{Account, Answer, Entry, Fault, Lender, SHARE, Terms};

/// For a connection to be there, and for what is said first.
const JOINING: Duration = Duration::from_secs(1);
/// What a database that was restarted, restored, or made anew waits for gateways to say what they were lent: each says something
/// every second.
const SETTLING: &str = "3 seconds";
/// Others give back for a gateway that is there.
const ALIVE: &str = "10 seconds";
/// A connection that nobody hears of any more holds the tables up for no longer.
const SESSION: &str = "SET application_name = 'pointsman'; SET statement_timeout = '5s'; SET lock_timeout = '5s'; \
                       SET idle_in_transaction_session_timeout = '2s'; SET synchronous_commit = on";
/// More sessions than this do not begin without anybody hearing of it.
const ATTEMPTS: usize = 64;
/// Windows that ended so long ago are of interest to nobody.
const OLD_MS: i64 = 2 * 86_400_000;
/// After so many exchanges they are removed.
const CLEANING: i64 = 3_600;
const TABLES: &str = include_str!("tables.sql");
const FORMAT: i32 = 1;

/// Where a database is, and how it is spoken to.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: Option<Tls>,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Database(…)")
    }
}

impl Database {
    /// By its URL; files in it start at `base`. No message repeats it: it may hold a password.
    pub fn parse(url: &str, base: &Path) -> Result<Self, String> {
        let example = "`postgres://user:password@host/database?sslmode=verify-full`";
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            return Err(format!("the database is a URL such as {example}"));
        }
        let (mut mode, mut ca, mut others) = (None, None, Vec::new());
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => {
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                    ca = Some(base.join(&*path));
                }
                _ => others.push(setting),
            }
        }
        let rest = [address, &others.join("&")].join("?");
        let mut config = Config::from_str(rest.trim_end_matches('?'))
            .map_err(|_| format!("the URL of the database cannot be read; one is {example}"))?;
        if config.get_hosts().is_empty() {
            return Err(format!(
                "the URL of the database names no host; one that does is {example}"
            ));
        }
        let is_encrypted = match mode {
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => {
                return Err(
                    "`sslmode` is `verify-full`, or `disable` on a network that nobody else can read".to_owned(),
                );
            }
            None => !config.get_hosts().iter().all(is_here),
        };
        config.connect_timeout(JOINING).ssl_mode(match is_encrypted {
            true => SslMode::Require,
            false => SslMode::Disable,
        });
        let tls = is_encrypted.then(|| Tls::new(ca.as_deref())).transpose()?;
        Ok(Self { config, tls })
    }

    /// A connection; what keeps it going is spawned on the runtime that this is called in.
    pub(super) async fn connect(&self) -> Result<Client, Fault> {
        let client = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(fault)?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(fault)?;
                tokio::spawn(connection);
                client
            }
        };
        client.batch_execute(SESSION).await.map_err(fault)?;
        Ok(client)
    }
}

/// Whether what is said to it leaves the machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    }
}

/// What a database or the way to it had to say.
pub(super) fn fault(error: tokio_postgres::Error) -> Fault {
    if let Some(said) = error.as_db_error() {
        return Fault(said.message().to_owned());
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    Fault(cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
}

/// One gateway's lender.
pub struct Postgres {
    database: Database,
    name: String,
    store: String,
    patience: Duration,
    runtime: Runtime,
    session: Option<Session>,
    /// Of the session before: what the database has taken down of it at least.
    before: Option<(String, i64)>,
    /// Sessions that were to begin since. Whether they did, nobody heard.
    attempts: Vec<String>,
}

/// A connection.
struct Session {
    client: Client,
    id: String,
    said: i64,
    words: Words,
}

/// What an exchange consists of.
struct Words {
    lock: Statement,
    own: Statement,
    say: Statement,
    lend: Statement,
    look: Statement,
}

/// As arrays.
#[derive(Default)]
struct Columns {
    scope: Vec<String>,
    period: Vec<String>,
    zone: Vec<String>,
    start: Vec<i64>,
    end: Vec<i64>,
    lent: Vec<i64>,
    spent: Vec<i64>,
    held: Vec<i64>,
    limit: Vec<i64>,
    need: Vec<i64>,
    want: Vec<i64>,
}

impl Columns {
    fn of(entries: &[Entry]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.scope.push(entry.account.scope.clone());
            columns.period.push(entry.account.period.clone());
            columns.zone.push(entry.account.zone.clone());
            columns.start.push(whole(entry.account.start_ms));
            columns.end.push(whole(entry.account.end_ms));
            columns.lent.push(entry.lent);
            columns.spent.push(entry.spent);
            columns.held.push(entry.held);
            columns.limit.push(entry.limit);
            columns.need.push(entry.need);
            columns.want.push(entry.want);
        }
        columns
    }
}

fn whole(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

impl Postgres {
    /// For a gateway of this name, whose ledger is in this store. What is exchanged takes no longer than `patience`.
    pub fn new(database: Database, name: &str, store: &str, patience: Duration) -> std::io::Result<Self> {
        Ok(Self {
            database,
            name: name.to_owned(),
            store: store.to_owned(),
            patience,
            runtime: Builder::new_current_thread().enable_all().build()?,
            session: None,
            before: None,
            attempts: Vec::new(),
        })
    }
}

impl Lender for Postgres {
    fn join(&mut self) -> Result<Vec<Account>, Fault> {
        if let Some(session) = self.session.take() {
            self.before = Some((session.id, session.said));
        }
        let mut id = [0; 12];
        getrandom::fill(&mut id).map_err(|error| Fault(error.to_string()))?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let joining = async {
            let client = self.database.connect().await?;
            let knows = |session: &str, said: i64| {
                let is_before = |(known, least): &(String, i64)| known == session && said >= *least;
                self.before.as_ref().is_none_or(is_before) || self.attempts.iter().any(|attempt| attempt == session)
            };
            join(client, &self.name, &self.store, &id, self.before.is_some(), knows).await
        };
        let joined = self.runtime.block_on(async { timeout(JOINING * 2, joining).await });
        match joined.unwrap_or_else(|_| Err(late(JOINING * 2))) {
            Ok((session, own)) => {
                self.attempts.clear();
                self.session = Some(session);
                Ok(own)
            }
            Err(fault) => {
                if self.attempts.len() >= ATTEMPTS {
                    self.attempts.remove(0);
                }
                self.attempts.push(id);
                Err(fault)
            }
        }
    }

    fn exchange(&mut self, entries: &[Entry]) -> Result<Answer, Fault> {
        let Some(session) = &mut self.session else {
            return Err(Fault("there is no connection".to_owned()));
        };
        let exchanging = session.exchange(&self.name, entries);
        let exchanged = self
            .runtime
            .block_on(async { timeout(self.patience, exchanging).await });
        exchanged.unwrap_or_else(|_| Err(late(self.patience)))
    }
}

fn late(patience: Duration) -> Fault {
    Fault(format!("it did not answer within {} ms", patience.as_millis()))
}

/// Takes the fleet's one row, and makes it where there is none. `fell_back`: it does not know what a gateway knows that it knew.
async fn settle(client: &Client, fell_back: bool) -> Result<(), Fault> {
    let run = "pg_postmaster_start_time()::text";
    let found = client
        .query_opt(
            "SELECT format FROM pointsman_fleet ORDER BY format DESC LIMIT 1 FOR UPDATE",
            &[],
        )
        .await
        .map_err(fault)?;
    let format: i32 = found.map_or(0, |row| row.get(0));
    if format != FORMAT {
        return Err(Fault(format!(
            "its tables are those of another version: {format}, and this one knows {FORMAT}"
        )));
    }
    let update = format!(
        "UPDATE pointsman_fleet SET settles = clock_timestamp() + interval '{SETTLING}', run = {run} WHERE $1 OR run <> {run}"
    );
    let settles = client.execute(&update, &[&fell_back]).await.map_err(fault)?;
    if settles > 0 {
        tracing::info!("the fleet's database was restarted, or is new: it lends nothing for {SETTLING}");
    }
    Ok(())
}

/// `knows`: whether what the database knows of this gateway's last session is what there can be, where there was one.
async fn join(
    client: Client,
    name: &str,
    store: &str,
    id: &str,
    has_joined: bool,
    knows: impl Fn(&str, i64) -> bool,
) -> Result<(Session, Vec<Account>), Fault> {
    client.batch_execute("BEGIN").await.map_err(fault)?;
    let exists = "SELECT to_regclass('pointsman_fleet') IS NOT NULL AND to_regclass('pointsman_leases') IS NOT NULL";
    let exists = client.query_one(exists, &[]).await.map_err(fault)?;
    if !exists.get::<_, bool>(0) {
        // Two that make them at one time would fail each other.
        client
            .batch_execute("SELECT pg_advisory_xact_lock(7046029254386353131)")
            .await
            .map_err(fault)?;
        client.batch_execute(TABLES).await.map_err(fault)?;
    }
    // Taken first, as by every exchange.
    let taken = "SELECT FROM pointsman_fleet ORDER BY format FOR UPDATE";
    client.batch_execute(taken).await.map_err(fault)?;
    let known = "SELECT store, session, said FROM pointsman_gateways WHERE name = $1";
    let known = client.query_opt(known, &[&name]).await.map_err(fault)?;
    let fell_back = has_joined && !known.as_ref().is_some_and(|row| knows(row.get(1), row.get(2)));
    if known.as_ref().is_some_and(|row| row.get::<_, &str>(0) != store) {
        return Err(Fault(format!(
            "another gateway, with a store of its own, goes by the name `{name}` there: give this one another in `[fleet]`, or \
             forget that one by `pointsman fleet forget {name}`"
        )));
    }
    settle(&client, fell_back).await?;
    let begin = "INSERT INTO pointsman_gateways (name, store, session, seen) VALUES ($1, $2, $3, clock_timestamp()) \
                 ON CONFLICT (name) DO UPDATE SET session = excluded.session, said = 0, seen = excluded.seen";
    client.execute(begin, &[&name, &store, &id]).await.map_err(fault)?;
    let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    client.execute(FORGET, &[&OLD_MS]).await.map_err(fault)?;
    let own = format!(
        "SELECT scope, period, zone, start_ms, end_ms FROM pointsman_leases WHERE gateway = $1 AND end_ms > {now}"
    );
    let own = client.query(&own, &[&name]).await.map_err(fault)?;
    client.batch_execute("COMMIT").await.map_err(fault)?;
    let words = try_join_all([LOCK, OWN, SAY, LEND, LOOK].map(|text| client.prepare(text))).await;
    let Ok([lock, own_row, say, lend, look]) = <[Statement; 5]>::try_from(words.map_err(fault)?) else {
        return Err(Fault("a statement is missing".to_owned()));
    };
    let words = Words {
        lock,
        own: own_row,
        say,
        lend,
        look,
    };
    let session = Session {
        client,
        id: id.to_owned(),
        said: 0,
        words,
    };
    Ok((session, own.iter().map(account).collect()))
}

fn account(row: &Row) -> Account {
    Account {
        scope: row.get(0),
        period: row.get(1),
        zone: row.get(2),
        start_ms: u64::try_from(row.get::<_, i64>(3)).unwrap_or(0),
        end_ms: match row.get::<_, i64>(4) {
            i64::MAX => u64::MAX,
            end => u64::try_from(end).unwrap_or(0),
        },
    }
}

const FORGET: &str =
    "DELETE FROM pointsman_leases WHERE end_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1";
const LOCK: &str = "SELECT settles > clock_timestamp() FROM pointsman_fleet WHERE format = 1 FOR UPDATE";
/// Whether this connection still speaks for its gateway; if not, the statements after it change nothing.
const OWN: &str = "UPDATE pointsman_gateways SET seen = clock_timestamp(), said = said + 1 WHERE name = $1 AND session = $2 RETURNING said";
const SAY: &str = "\
    INSERT INTO pointsman_leases (gateway, scope, period, zone, start_ms, end_ms, lent, spent, held, need) \
    SELECT $1, e.* FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], \
        $10::bigint[], $11::bigint[]) AS e \
    WHERE EXISTS (SELECT FROM pointsman_gateways WHERE name = $1 AND session = $2) \
    ON CONFLICT (scope, period, zone, start_ms, gateway) DO UPDATE \
    SET lent = excluded.lent, spent = excluded.spent, held = excluded.held, need = excluded.need";
/// What is lent is never more than is left, and nothing where that is less than is needed.
const LEND: &str = "\
    WITH stands AS ( \
        SELECT e.*, e.most - sum(greatest(l.lent, l.spent::numeric + l.held)) AS unlent \
        FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[]) \
            AS e (scope, period, zone, start_ms, most, need, want) \
        JOIN pointsman_leases l USING (scope, period, zone, start_ms) \
        WHERE e.want > 0 GROUP BY 1, 2, 3, 4, 5, 6, 7) \
    UPDATE pointsman_leases l \
    SET lent = greatest(l.lent, l.spent + l.held) + least(s.unlent, greatest(s.want, floor(s.unlent / $10::bigint)))::bigint, need = 0 \
    FROM stands s \
    WHERE l.gateway = $1 AND (l.scope, l.period, l.zone, l.start_ms) = (s.scope, s.period, s.zone, s.start_ms) \
        AND s.unlent > 0 AND s.unlent >= s.need \
        AND EXISTS (SELECT FROM pointsman_gateways WHERE name = $1 AND session = $2) \
        AND NOT EXISTS (SELECT FROM pointsman_fleet WHERE settles > clock_timestamp())";
const LOOK: &str = "\
    SELECT max(l.lent) FILTER (WHERE l.gateway = $1), \
        greatest(e.most - sum(greatest(l.lent, l.spent::numeric + l.held)), -9e18)::bigint, \
        least(coalesce(sum(l.spent) FILTER (WHERE l.gateway <> $1), 0), 9e18)::bigint, \
        least(coalesce(sum(l.held) FILTER (WHERE l.gateway <> $1), 0), 9e18)::bigint, \
        coalesce(max(l.need) FILTER (WHERE l.gateway <> $1 AND g.seen > clock_timestamp() - $7::text::interval), 0) \
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) WITH ORDINALITY \
        AS e (scope, period, zone, start_ms, most, place) \
    JOIN pointsman_leases l USING (scope, period, zone, start_ms) \
    LEFT JOIN pointsman_gateways g ON g.name = l.gateway \
    GROUP BY e.place, e.most ORDER BY e.place";

impl Session {
    async fn exchange(&mut self, name: &str, entries: &[Entry]) -> Result<Answer, Fault> {
        let Self { client, id, words, .. } = self;
        let c = Columns::of(entries);
        let own: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&name, &*id];
        let (begin, commit) = (client.batch_execute("BEGIN"), client.batch_execute("COMMIT"));
        let lock = client.query_one(&words.lock, &[]);
        let seen = client.query_opt(&words.own, &own);
        let say: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
            &name, &*id, &c.scope, &c.period, &c.zone, &c.start, &c.end, &c.lent, &c.spent, &c.held, &c.need,
        ];
        let say = client.execute(&words.say, &say);
        let lend: [&(dyn tokio_postgres::types::ToSql + Sync); 10] = [
            &name, &*id, &c.scope, &c.period, &c.zone, &c.start, &c.limit, &c.need, &c.want, &SHARE,
        ];
        let lend = client.execute(&words.lend, &lend);
        let look: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&name, &c.scope, &c.period, &c.zone, &c.start, &c.limit, &ALIVE];
        let look = client.query(&words.look, &look);
        // Sent in this order, and in one go.
        let first = try_join(begin, lock);
        let rest = try_join5(seen, say, lend, look, commit);
        let ((_, lock), (seen, _, _, rows, _)) = try_join(first, rest).await.map_err(fault)?;
        let Some(seen) = seen else {
            return Err(Fault(
                "it has heard of this gateway from somewhere else, or has forgotten it".to_owned(),
            ));
        };
        if rows.len() != entries.len() {
            return Err(Fault("it does not know what it was just told".to_owned()));
        }
        self.said = seen.get(0);
        if self.said % CLEANING == 0 {
            let forgotten = self.client.execute(FORGET, &[&OLD_MS]);
            forgotten.await.map_err(fault)?;
        }
        Ok(Answer {
            is_settling: lock.get(0),
            terms: rows.iter().map(terms).collect(),
        })
    }
}

fn terms(row: &Row) -> Terms {
    let unlent: i64 = row.get(1);
    Terms {
        lent: row.get::<_, Option<i64>>(0).unwrap_or(0),
        unlent,
        spent: row.get(2),
        held: row.get(3),
        is_wanted: row.get::<_, i64>(4) > unlent,
    }
}
