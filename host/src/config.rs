//! The configuration: read, checked whole and turned into values that the other parts take as they are.
//!
//! Every mistake is reported at once, with line and column; unknown keys are mistakes. Nothing here opens a socket or
//! compiles a plugin: `check` and `serve` share this door. Where no file is given, [`defaults`] writes one.

mod admin;
mod budgets;
mod cache;
mod clouds;
pub mod defaults;
pub mod dialects;
mod events;
mod fleet;
mod idempotency;
mod interpolate;
mod key_hash;
mod keys;
mod models;
mod policies;
mod providers;
pub mod reader;
mod responses;
mod routes;
mod server;
mod store;
mod timeouts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use admin::{AdminConfig, Listen, Role, TlsConfig, TokenConfig};
pub use cache::{CacheConfig, CacheRule, CacheScope};
pub use clouds::{AwsKey, ServiceAccount};
pub use dialects::OwnWords;
pub use events::{EVENTS, SigningKey, WebhookConfig, is_wanted};
pub use fleet::FleetConfig;
pub use idempotency::IdempotencyConfig;
pub use interpolate::Secret;
pub use key_hash::KeyHash;
pub use keys::{
    ANONYMOUS, Allowance, KeyConfig, KeysConfig, PepperConfig, RateLimits, TeamConfig, parse_span, parse_time,
};
pub use models::ModelConfig;
pub use policies::{Expectation, PolicyConfig, PolicyFile, PolicyTest};
pub use providers::{ComponentRef, ProviderConfig, SimulatedConfig};
use reader::{Mistake, Reader, Section};
pub use responses::ResponsesConfig;
pub use routes::{Hedge, RouteCandidate, RouteConfig};
pub use server::{Extensions, LoadConfig, ServerConfig};
pub use store::{DecisionsConfig, LedgerConfig};
use thiserror::Error;
pub use timeouts::Timeouts;

use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::plugins::{EngineConfig, Limits};

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The data listener and what it accepts.
    pub server: ServerConfig,
    /// The admin listener.
    pub admin: AdminConfig,
    /// Where the gateway keeps what must survive a restart.
    pub store: PathBuf,
    /// Which answers are kept.
    pub cache: CacheConfig,
    /// What is booked, and for how long it is kept.
    pub ledger: LedgerConfig,
    /// Requests that name themselves.
    pub idempotency: IdempotencyConfig,
    /// Which responses are kept, if any.
    pub responses: Option<ResponsesConfig>,
    /// With whom budgets are shared, if with anybody.
    pub fleet: Option<FleetConfig>,
    /// What is known of models that the configuration says nothing of.
    pub catalog: Catalog,
    /// Which decisions are kept, if any.
    pub decisions: Option<DecisionsConfig>,
    /// How often plugins and configuration are looked at.
    pub reload: ReloadConfig,
    /// How many more attempts than requests there are at most.
    pub retries: RetryRate,
    /// Labels of requests by which metrics are kept as well.
    pub metric_labels: Vec<String>,
    /// What all plugins share.
    pub plugins: PluginsConfig,
    /// By name.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// By id.
    pub models: BTreeMap<String, ModelConfig>,
    /// By name.
    pub policies: BTreeMap<String, PolicyConfig>,
    /// By name.
    pub routes: BTreeMap<String, RouteConfig>,
    /// Who may call.
    pub keys: KeysConfig,
    /// Who is told of budgets.
    pub webhook: Option<WebhookConfig>,
    /// Budgets of labels that policies set, by label and value.
    pub labels: BTreeMap<(String, String), Vec<Budget>>,
    /// What is odd but not wrong; shown at every load.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether anything or anybody named in it has a budget.
    fn has_budgets(&self) -> bool {
        let keys = self.keys.declared.values().map(|key| &key.allowance);
        let teams = self.keys.teams.values().map(|team| &team.allowance);
        let allowances = keys.chain(teams).chain(self.keys.organisations.values());
        let mut all = allowances
            .map(|allowance| &allowance.budgets)
            .chain(self.providers.values().map(|provider| &provider.budgets))
            .chain(self.models.values().map(|model| &model.budgets))
            .chain(self.routes.values().map(|route| &route.budgets))
            .chain(self.labels.values());
        all.any(|budgets| !budgets.is_empty())
    }

    /// The settings that are read only when the process starts and differ in another configuration.
    pub fn fixed_settings_changed(&self, other: &Self) -> Vec<&'static str> {
        let settings = [
            ("server.listen", self.server.listen != other.server.listen),
            ("server.head_ms", self.server.head != other.server.head),
            ("server.idle_ms", self.server.idle != other.server.idle),
            ("server.stall_ms", self.server.stall != other.server.stall),
            ("server.drain_ms", self.server.drain != other.server.drain),
            ("server.connections and the like", self.server.load != other.server.load),
            ("server.tls", self.server.tls != other.server.tls),
            ("admin.listen", self.admin.listen != other.admin.listen),
            ("admin.tls", self.admin.tls != other.admin.tls),
            ("store.path", self.store != other.store),
            ("store.ledger", self.ledger != other.ledger),
            ("fleet", self.fleet != other.fleet),
            ("events.webhook", self.webhook != other.webhook),
            ("plugins.slots", self.plugins.slots != other.plugins.slots),
            ("plugins.asking", self.plugins.asking != other.plugins.asking),
            (
                "plugins.stack_bytes",
                self.plugins.stack_bytes != other.plugins.stack_bytes,
            ),
        ];
        settings
            .into_iter()
            .filter(|(_, has_changed)| *has_changed)
            .map(|(name, _)| name)
            .collect()
    }
}

/// `[retries]`: how many attempts beyond the first of each request are made, at each provider and at all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRate {
    /// Of the requests of the last ten seconds.
    pub percent: u32,
    /// And so many in a second in any case.
    pub per_second: u32,
}

/// `[reload]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadConfig {
    /// Quiet time after a file event before files are read.
    pub debounce: Duration,
    /// How often files are compared without any event.
    pub sweep: Duration,
}

/// `[plugins]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginsConfig {
    /// Instances at one time, over all plugins.
    pub slots: u32,
    /// Calls that may wait for models at one time, over all policies.
    pub asking: u32,
    /// The most of an answer that is held back for a review.
    pub review_bytes: usize,
    /// A guest's own stack.
    pub stack_bytes: usize,
    /// What one policy may use unless its own settings say otherwise.
    pub limits: Limits,
    /// What one adapter may use.
    pub adapter_limits: Limits,
}

impl PluginsConfig {
    /// The engine's part, with its caches below the store.
    pub fn engine(&self, store: &Path) -> EngineConfig {
        EngineConfig {
            cache_dir: Some(store.join("cache")),
            slots: self.slots,
            asking: self.asking,
            stack_bytes: self.stack_bytes,
            ..EngineConfig::default()
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file itself.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What it says.
    #[error("{}", .0.iter().map(|mistake| format!("{name}:{mistake}", name = .1)).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>, String),
}

/// A configuration's text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file; `None` for the built-in defaults.
    pub path: Option<PathBuf>,
    /// TOML.
    pub text: String,
}

/// Larger files are not configurations.
const FILE_BYTES: u64 = 8 << 20;

impl Source {
    /// What `--config` names, else `pointsman.toml` in the working directory, else the built-in defaults.
    pub fn find(named: Option<&Path>) -> Result<Self, ConfigError> {
        let habitual = Path::new("pointsman.toml");
        match named {
            Some(path) => Self::read(path),
            None if habitual.exists() => Self::read(habitual),
            None => Ok(Self {
                path: None,
                text: defaults::text(|name| std::env::var(name).ok()),
            }),
        }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |reason: String| ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let size = std::fs::metadata(path)
            .map_err(|error| unreadable(error.to_string()))?
            .len();
        if size > FILE_BYTES {
            return Err(unreadable(format!(
                "{size} bytes; a configuration is at most {FILE_BYTES}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            path: Some(path.to_owned()),
            text,
        })
    }

    /// How to call it in messages.
    pub fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "built-in defaults".to_owned(), |path| path.display().to_string())
    }

    /// Relative paths in the file start here.
    fn base(&self) -> PathBuf {
        self.path
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// Checks the text and makes a configuration of it.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let reader = Reader::new(&self.text);
        let table = reader.table();
        let config = read(&Section::root(&reader, &table), &self.base());
        let mistakes = reader.into_mistakes();
        match mistakes.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::Mistakes(mistakes, self.name())),
        }
    }
}

/// What every part of the file is read with.
struct Context<'a> {
    base: &'a Path,
    limits: Limits,
}

fn read(root: &Section<'_>, base: &Path) -> Config {
    let mut warnings = Vec::new();
    let plugins = plugins(&root.section("plugins"));
    let context = Context {
        base,
        limits: plugins.limits.clone(),
    };
    let (store, ledger, decisions) = store::read(root.section("store"), base);
    let catalog = Catalog::open(&store, &mut warnings);
    let providers = providers::read(root, &context);
    let models = models::read(root, &providers, &catalog, &mut warnings);
    let policies = policies::read(root, &context, &models);
    let cache = cache::read(root.section("cache"));
    let routes = routes::read(root, &models, &policies, cache.rule);
    let (server, pepper) = server::read(root.section("server"), base);
    let known = keys::Known {
        providers: &providers,
        models: &models,
        routes: &routes,
    };
    let keys = keys::read(root, known, pepper, &store, &mut warnings);
    let config = Config {
        server,
        admin: admin::read(root.section("admin"), base),
        store,
        fleet: fleet::read(root.section("fleet"), base, ledger.is_on),
        ledger,
        decisions,
        catalog,
        cache,
        idempotency: idempotency::read(root.section("idempotency")),
        responses: responses::read(root.section("responses")),
        reload: reload(root.section("reload")),
        retries: retries(root.section("retries")),
        metric_labels: metric_labels(root.section("metrics")),
        plugins,
        providers,
        models,
        policies,
        routes,
        keys,
        labels: labels(root),
        webhook: events::read(root.section("events"), base),
        warnings,
    };
    if !config.ledger.is_on && config.has_budgets() {
        let store = root.section("store");
        store.note(
            store.span(),
            "there are budgets, and without the ledger nobody keeps them: leave `ledger` on, or take the budgets out",
        );
    }
    root.finish_ref();
    config
}

fn address(section: &Section<'_>, port: u16) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], port));
    let Some((text, span)) = section.string("listen") else {
        return default;
    };
    text.parse().unwrap_or_else(|_| {
        section.note(span, format!("`{text}` is not an address and port such as {default}"));
        default
    })
}

fn retries(section: Section<'_>) -> RetryRate {
    let number = |key, most, default| section.number(key, 0..=most).map_or(default, |number| number as u32);
    let rate = RetryRate {
        percent: number("percent", 1_000, 20),
        per_second: number("per_second", 1_000_000, 10),
    };
    section.finish();
    rate
}

fn reload(section: Section<'_>) -> ReloadConfig {
    let config = ReloadConfig {
        debounce: Duration::from_millis(section.number("debounce_ms", 1..=60_000).unwrap_or(200)),
        sweep: Duration::from_millis(section.number("sweep_ms", 50..=86_400_000).unwrap_or(10_000)),
    };
    section.finish();
    config
}

/// `[labels."task=coding"]`
fn labels(root: &Section<'_>) -> BTreeMap<(String, String), Vec<Budget>> {
    let mut labels = BTreeMap::new();
    for (name, section) in root.sections("labels") {
        let budgets = budgets::read(&section);
        match name.split_once('=') {
            Some((label, value)) if !label.is_empty() => {
                labels.insert((label.to_owned(), value.to_owned()), budgets);
            }
            _ => section.note(
                section.span(),
                format!("`{name}` is not a label with its value, such as `task=coding`"),
            ),
        }
        section.finish();
    }
    labels
}

fn metric_labels(section: Section<'_>) -> Vec<String> {
    let labels = section.strings("labels").into_iter().map(|(label, _)| label).collect();
    section.finish();
    labels
}

fn plugins(section: &Section<'_>) -> PluginsConfig {
    let config = PluginsConfig {
        slots: section.number("slots", 1..=20_000).unwrap_or(1_000) as u32,
        // The runtime has 512 blocking threads, which other work needs, too.
        asking: section.number("asking", 1..=400).unwrap_or(128) as u32,
        review_bytes: section.number("review_bytes", 1..=1 << 30).unwrap_or(16 << 20) as usize,
        stack_bytes: section.number("stack_bytes", 64 << 10..=1 << 20).unwrap_or(512 << 10) as usize,
        limits: policies::policy_limits(&section.section("limits"), Limits::default()),
        adapter_limits: policies::limits(&section.section("adapter_limits"), Limits::adapter()),
    };
    section.finish_ref();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let source = Source {
            path: None,
            text: text.to_owned(),
        };
        match source.load() {
            Ok(_) => Vec::new(),
            Err(ConfigError::Mistakes(mistakes, _)) => mistakes.iter().map(Mistake::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_their_places() {
        let found = mistakes(
            "[server]\nlisten = \"nowhere\"\nlisen = 1\n\n[providers.a]\nadapter = 3\n\n[models.\"a/b\"]\nprovider = \"c\"\n\
             price = { input = -1, output = 1 }\n\n[routes.auto]\ncandidates = [\"a/c\"]\npolicies = [\"none\"]\n",
        );
        let expected = [
            "2:10: server: `nowhere` is not an address and port such as 127.0.0.1:8080",
            "3:1: server: unknown key `lisen`; did you mean `listen`?",
            "6:11: providers.a: `adapter` must be a string, not an integer",
            "9:12: models.\"a/b\": no provider `c`",
            "10:19: models.\"a/b\".price: `-1` is not an amount in US dollars such as 0.25",
            "13:15: routes.auto: no model `a/c`; did you mean `a/b`?",
            "14:13: routes.auto: no policy `none`",
        ];
        for line in expected {
            assert!(
                found.iter().any(|mistake| mistake == line),
                "{line}\nnot in\n{}",
                found.join("\n")
            );
        }
    }

    #[test]
    fn settings_that_need_a_restart_are_named() {
        let load = |text: &str| {
            Source {
                path: None,
                text: text.to_owned(),
            }
            .load()
            .unwrap()
        };
        let old = load("");
        let new = load("[server]\nlisten = \"127.0.0.1:1\"\njson_depth = 32\n[plugins]\nslots = 7\n");
        assert_eq!(old.fixed_settings_changed(&new), ["server.listen", "plugins.slots"]);
    }

    #[test]
    fn a_policy_is_not_called_as_the_configuration_is() {
        let found = mistakes("[policies.config]\ncomponent = \"weighted\"\n");
        assert!(
            found[0].starts_with("1:11: policies.config: a policy cannot be called `config`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let found = mistakes("[server]\nlisten = \n");
        assert!(found[0].starts_with("2:"), "{found:?}");
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        assert_eq!(mistakes(""), Vec::<String>::new());
    }
}
