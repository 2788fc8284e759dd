//! `pointsman catalog`: what is known of models, and newer lists in its place. The gateway itself never fetches anything.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::header::{HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};

use crate::catalog::{self, Catalog, Origin, Taken};
use crate::cli::out::{put, say};
use crate::config::Source;
use crate::money::{Nanodollars, Price, Rates, Service};
use crate::upstream::{Endpoint, TlsRoots, Upstream};

#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// List the models that are known, with their prices in US dollars per million tokens of input and output
    #[command(after_help = "Examples:\n  pointsman catalog list\n  pointsman catalog list anthropic")]
    List {
        /// Only this provider's
        provider: Option<String>,
    },
    /// Print all that is known of a model, and who says so
    #[command(after_help = "Example:\n  pointsman catalog show anthropic/claude-sonnet-4-5")]
    Show {
        /// As `catalog list` prints it
        #[arg(value_name = "PROVIDER/MODEL")]
        model: String,
    },
    /// Read newer prices from a list of models.dev or LiteLLM into the store
    #[command(
        after_help = "Examples:\n  pointsman catalog update https://models.dev/api.json\n  pointsman catalog update model_prices_and_context_window.json\n\nA gateway that is running takes the new prices up at its next sweep (`reload.sweep_ms`), or at once on SIGHUP."
    )]
    Update(Update),
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// A file, or an http or https URL
    #[arg(value_name = "FILE|URL")]
    list: String,
    /// Take prices that move more than tenfold, too
    #[arg(long)]
    allow_large_changes: bool,
    /// Write the catalog here and not into the store
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the catalog says of its source; without it, whose list it is and where it was read
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// The day that the list is of; without it, today
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
}

pub(super) async fn run(named: Option<&Path>, command: &CatalogCommand) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let store = source.load().map_err(|error| error.to_string())?.store;
    let mut warnings = Vec::new();
    let known = Catalog::open(&store, &mut warnings);
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    match command {
        CatalogCommand::List { provider } => list(&known, provider.as_deref()),
        CatalogCommand::Show { model } => show(&known, model),
        CatalogCommand::Update(update) => update.run(&known, &store).await,
    }
}

fn list(known: &Catalog, provider: Option<&str>) -> Result<(), String> {
    let models = known.list(provider);
    if let (Some(provider), true) = (provider, models.is_empty()) {
        let all: Vec<&str> = catalog::providers().collect();
        return Err(format!("no provider `{provider}`; there are {}", all.join(", ")));
    }
    let mut text = String::new();
    for origin in known.all_origins() {
        text.push_str(&format!("# {}\n", shown(&origin)));
    }
    for (provider, model) in models {
        let price = known.find(&provider, &model).and_then(|entry| entry.price);
        let price = price.map_or_else(
            || "no price".to_owned(),
            |price| format!("{} {}", price.rates.input, price.rates.output),
        );
        text.push_str(&format!("{provider}/{model} {price}\n"));
    }
    put!("{text}");
    Ok(())
}

fn show(known: &Catalog, name: &str) -> Result<(), String> {
    let found = name
        .split_once('/')
        .and_then(|(provider, model)| Some((known.find(provider, model)?, known.origins(provider, model))));
    let Some((entry, origins)) = found else {
        return Err(format!(
            "the catalog has no `{name}`; `pointsman catalog list` prints what it has"
        ));
    };
    let mut lines = vec![name.to_owned()];
    let mut line = |key: &str, value: String| lines.push(format!("  {key:<16}{value}"));
    match entry.price.as_ref().map(Price::new) {
        None => line("price", "unknown".to_owned()),
        Some(price) => {
            for (key, value) in rates(price.base()) {
                line(key, value);
            }
            for tier in price.tiers() {
                line("above", format!("{} tokens of input", tier.above));
                for (key, value) in rates(&tier.rates) {
                    line(&format!("  {key}"), value);
                }
            }
            for (key, service) in [("batch", Service::Batch), ("priority", Service::Priority)] {
                let share = price.shares().of(service);
                if share != 1_000 {
                    line(key, format!("{}.{:03} of the price", share / 1_000, share % 1_000));
                }
            }
            line("price version", price.version().to_string());
        }
    }
    let unknown = |tokens: Option<u32>| tokens.map_or_else(|| "unknown".to_owned(), |tokens| tokens.to_string());
    line("context", unknown(entry.context));
    line("max_output", unknown(entry.max_output));
    let abilities = entry.abilities.map(|abilities| abilities.words().join(", "));
    line("abilities", abilities.unwrap_or_else(|| "unknown".to_owned()));
    for origin in origins {
        line("source", shown(&origin));
    }
    say!("{}", lines.join("\n"));
    Ok(())
}

fn shown(origin: &Origin) -> String {
    format!("{}, {}", origin.source, origin.date)
}

/// What differs from input and output, as the configuration has it.
fn rates(rates: &Rates) -> Vec<(&'static str, String)> {
    let (input, output, nothing) = (rates.input, rates.output, Nanodollars(0));
    let all = [
        ("input", rates.input, None),
        ("cached_input", rates.cached_input, Some(input)),
        ("cache_write", rates.cache_write, Some(input)),
        ("cache_write_1h", rates.cache_write_1h, Some(input)),
        ("audio_input", rates.audio_input, Some(input)),
        ("output", rates.output, None),
        ("reasoning", rates.reasoning, Some(output)),
        ("audio_output", rates.audio_output, Some(output)),
        ("image_input", rates.image_input, Some(input)),
        ("image_output", rates.image_output, Some(output)),
        ("characters", rates.characters, Some(nothing)),
        ("search", rates.search, Some(nothing)),
    ];
    let told = all.into_iter().filter(|(_, rate, usual)| Some(*rate) != *usual);
    told.map(|(key, rate, _)| (key, rate.to_string())).collect()
}

/// Lists are a few megabytes.
const LIST_BYTES: usize = 64 << 20;
/// Of a list that is fetched.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many prices are named.
const MOST_NAMED: usize = 20;

impl Update {
    async fn run(&self, known: &Catalog, store: &Path) -> Result<(), String> {
        let list = self.read().await.map_err(|reason| format!("{}: {reason}", self.list))?;
        let taken = catalog::read_source(list).map_err(|error| format!("{}: {error}", self.list))?;
        self.refuse_large_changes(known, &taken)?;
        let origin = Origin {
            source: self
                .source
                .clone()
                .unwrap_or_else(|| format!("{} ({})", taken.shape, self.list)),
            date: self.date()?,
        };
        let path = self.out.clone().unwrap_or_else(|| store.join(catalog::FILE));
        let text = catalog::write(&origin, &taken.models);
        replace(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let has_moved = |((provider, model), entry): &(&(String, String), &catalog::Entry)| {
            let price = |entry: &catalog::Entry| entry.price.as_ref().map(Price::new);
            let before = known.find(provider, model);
            entry.price.is_some() && before.is_none_or(|before| price(&before) != price(entry))
        };
        say!(
            "{}: models as {} lists them: {}; with a new price: {}; left out: {}",
            path.display(),
            taken.shape,
            taken.models.len(),
            taken.models.iter().filter(has_moved).count(),
            taken.left_out,
        );
        Ok(())
    }

    async fn read(&self) -> Result<Bytes, String> {
        if self.list.starts_with("http://") || self.list.starts_with("https://") {
            let fetched = tokio::time::timeout(PATIENCE, fetch(&self.list)).await;
            return fetched.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
        }
        let size = fs::metadata(&self.list).map_err(|error| error.to_string())?.len();
        if size > LIST_BYTES as u64 {
            return Err(format!("{size} bytes; a list has at most {LIST_BYTES}"));
        }
        fs::read(&self.list).map(Bytes::from).map_err(|error| error.to_string())
    }

    fn refuse_large_changes(&self, known: &Catalog, taken: &Taken) -> Result<(), String> {
        let changes = catalog::changes(known, &taken.models);
        if changes.is_empty() || self.allow_large_changes {
            return Ok(());
        }
        let mut lines = vec![format!("{}: prices that would move more than tenfold:", self.list)];
        lines.extend(changes.iter().take(MOST_NAMED).map(|change| format!("  {change}")));
        if changes.len() > MOST_NAMED {
            lines.push(format!("  and {} more", changes.len() - MOST_NAMED));
        }
        lines.push("nothing was changed; where these are right, add --allow-large-changes".to_owned());
        Err(lines.join("\n"))
    }

    fn date(&self) -> Result<String, String> {
        match &self.date {
            None => Ok(jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()),
            Some(date) => match date.parse::<jiff::civil::Date>() {
                Ok(date) => Ok(date.to_string()),
                Err(error) => Err(format!("--date {date}: {error}")),
            },
        }
    }
}

async fn fetch(url: &str) -> Result<Bytes, String> {
    let endpoint = Endpoint::parse(url)?;
    let mut headers = HeaderMap::new();
    let host = HeaderValue::from_str(endpoint.authority()).map_err(|error| error.to_string())?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static("pointsman"));
    // The whole path is the endpoint's prefix; one that ends in a slash has lost it there.
    let has_slash = url.parse::<hyper::Uri>().is_ok_and(|uri| uri.path().ends_with('/'));
    let path = if has_slash { "/" } else { "" };
    let upstream = Upstream::new(endpoint, &TlsRoots::new(None)?, Duration::from_secs(10));
    let sent = upstream.send(hyper::Method::GET, path, headers, Bytes::new()).await;
    let answer = sent.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_redirection() {
        let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        return Err(format!("moved to {}; give that URL", to.unwrap_or("an unknown place")));
    }
    if !status.is_success() {
        return Err(format!("the server answers {status}"));
    }
    let body = answer.into_body().collect(LIST_BYTES).await;
    body.map_err(|error| error.to_string())
}

/// Whoever reads the file sees the old one or the new one, also after a crash.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| fs::rename(&unfinished, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    replaced?;
    File::open(folder)?.sync_all()
}
