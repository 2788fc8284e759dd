//! What operators see of a fleet, and the one thing that they may do to it: forget a gateway that will not come back.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::Fault;
use super::postgres::{Database, fault};

/// What is asked here is short, and nobody waits for it but a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway, as it said of itself last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// When it was heard of last; never where only what it spent is left of it.
    pub seen_ms: Option<u64>,
    /// In how many windows that have not ended it has been lent something.
    pub accounts: u64,
    /// Lent in those, in nano-dollars: what others cannot have.
    pub lent: i128,
    /// Of it, booked.
    pub spent: i128,
    /// Of it, reserved for calls under way.
    pub held: i128,
}

/// What a gateway had of one budget, and whether it was spent nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Whose, in which windows.
    pub scope: String,
    /// `month`, say.
    pub period: String,
    /// When the window began.
    pub start_ms: u64,
    /// In nano-dollars: lent, and neither booked nor reserved as far as it said.
    pub amount: i64,
}

/// All gateways that there are or were, by name.
pub async fn list(database: &Database) -> Result<Vec<Gateway>, Fault> {
    let text = "\
        SELECT coalesce(g.name, l.gateway), (extract(epoch FROM g.seen) * 1000)::bigint, count(l.lent), \
            coalesce(sum(greatest(l.lent, l.spent + l.held)), 0)::text, coalesce(sum(l.spent), 0)::text, coalesce(sum(l.held), 0)::text \
        FROM pointsman_gateways g FULL JOIN ( \
            SELECT * FROM pointsman_leases WHERE end_ms > extract(epoch FROM clock_timestamp()) * 1000) l ON l.gateway = g.name \
        GROUP BY 1, 2 ORDER BY 1";
    let asking = async {
        let client = database.connect().await?;
        client.query(text, &[]).await.map_err(asked)
    };
    let rows = timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(late()))?;
    Ok(rows.iter().map(gateway).collect())
}

fn gateway(row: &Row) -> Gateway {
    let amount = |place: usize| row.get::<_, &str>(place).parse().unwrap_or(0);
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Gateway {
        name: row.get(0),
        seen_ms: row.get::<_, Option<i64>>(1).map(unsigned),
        accounts: unsigned(row.get(2)),
        lent: amount(3),
        spent: amount(4),
        held: amount(5),
    }
}

/// Lends to others what a gateway had and did not say that it has spent or reserved; says how much that was. What it said stays
/// counted. None where there is no such gateway.
pub async fn forget(database: &Database, name: &str) -> Result<Option<Vec<Unknown>>, Fault> {
    let asking = async {
        let mut client = database.connect().await?;
        let transaction = client.transaction().await.map_err(fault)?;
        transaction
            .execute("SELECT FROM pointsman_fleet FOR UPDATE", &[])
            .await
            .map_err(asked)?;
        let gone = "DELETE FROM pointsman_gateways WHERE name = $1";
        if transaction.execute(gone, &[&name]).await.map_err(fault)? == 0 {
            return Ok(None);
        }
        let unknown = "\
            SELECT scope, period, start_ms, lent - spent - held FROM pointsman_leases \
            WHERE gateway = $1 AND lent > spent + held AND end_ms > extract(epoch FROM clock_timestamp()) * 1000 ORDER BY 1, 2, 3";
        let unknown = transaction.query(unknown, &[&name]).await.map_err(fault)?;
        // Under a name that no gateway goes by: one that takes the old one begins with nothing.
        let kept = "\
            UPDATE pointsman_leases SET lent = spent + held, need = 0, \
                gateway = gateway || ' (forgotten ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || ')' \
            WHERE gateway = $1";
        transaction.execute(kept, &[&name]).await.map_err(fault)?;
        transaction.commit().await.map_err(fault)?;
        let unknown = unknown.iter().map(|row| Unknown {
            scope: row.get(0),
            period: row.get(1),
            start_ms: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
            amount: row.get(3),
        });
        Ok(Some(unknown.collect()))
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(late()))
}

/// The first gateway makes the tables.
fn asked(error: tokio_postgres::Error) -> Fault {
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE) => Fault("no gateway has borrowed there yet".to_owned()),
        _ => fault(error),
    }
}

fn late() -> Fault {
    Fault(format!("it did not answer within {} s", PATIENCE.as_secs()))
}
