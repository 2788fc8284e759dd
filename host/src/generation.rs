//! One immutable set of configuration and plugins. A request takes the current one when it begins and keeps it to the end
//! of its stream; a reload makes the next and swaps. When the last request lets go of one, everything in it is freed.

mod known;
mod standing;
mod unlisted;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use memchr::memmem;
use prometheus_client::metrics::counter::Counter;

use crate::budget::{Budget, Scope, Scoped};
use crate::catalog::Abilities;
use crate::config::{Config, ModelConfig, RouteConfig, SimulatedConfig, Timeouts};
use crate::money::{Nanodollars, Price, Usage};
use crate::operation::{Dialect, Door, Operation};
use crate::plugins::{Adapter, OnFault, Policy, words};
use crate::telemetry::{Meter, ModelMeter};
use crate::upstream::Upstream;
use crate::upstream::frames::Framing;
use crate::upstream::google::Tokens;
use crate::upstream::limits::Limited;
use crate::upstream::retries::Retries;
use crate::upstream::sigv4::Signer;
pub use known::Known;
pub use standing::{Credential, Credentials, Seen, Standing};
pub use unlisted::Unlisted;

/// Everything that one request is served with.
#[derive(Debug)]
pub struct Generation {
    /// Counted from 1 in the life of the process.
    pub number: u64,
    /// As it was read.
    pub config: Config,
    /// By id.
    pub models: BTreeMap<String, Arc<Model>>,
    /// By name.
    pub routes: BTreeMap<String, Arc<Route>>,
    /// By name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// By name.
    pub policies: BTreeMap<String, LoadedPolicy>,
    /// What may be spent on requests with a label, by label and value.
    pub label_budgets: HashMap<(String, String), Vec<Arc<Scoped>>>,
    /// A route of its own for each model, for clients that ask by id.
    direct: HashMap<String, Arc<Route>>,
    meter: Meter,
    _alive: Alive,
}

/// Counts the generations that are not freed yet.
#[derive(Debug)]
pub struct Alive(Arc<AtomicI64>);

impl Alive {
    /// Counts one in, until it is dropped.
    pub fn one_more(counter: &Arc<AtomicI64>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A provider, ready to be called.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// How it is called.
    pub way: Way,
    /// Whether `provider/any-name` is served.
    pub allow_any_model: bool,
    /// Settings for its adapter.
    pub settings: serde_json::Value,
    /// How long it keeps the beginning of a prompt in its cache.
    pub prompt_cache: Duration,
    /// What may be spent on it.
    pub budgets: Vec<Arc<Scoped>>,
    /// Its name, as the ledger has it.
    pub counted_as: Arc<str>,
    /// How many more attempts than requests it gets.
    pub retries: Retries,
    /// What it is called with.
    pub credentials: Credentials,
    /// How much of it may be used.
    pub limited: Limited,
    /// How many requests may wait for one of its models.
    pub queue: usize,
    /// How long its answers may take.
    pub timeouts: Timeouts,
    /// What was seen of models that no configuration names.
    pub unlisted: Arc<Unlisted>,
}

/// How a provider is called.
#[derive(Debug)]
pub enum Way {
    /// Inside the gateway.
    Simulated(SimulatedConfig),
    /// Over the network.
    Remote(Box<Remote>),
}

/// A provider over the network.
#[derive(Debug)]
pub struct Remote {
    /// Translates, or says that nothing needs to be translated.
    pub adapter: Adapter,
    /// Connections, bound to the provider's host and key.
    pub upstream: Arc<Upstream>,
    /// What goes out with every call, by credential.
    pub attached: Vec<Attached>,
    /// Kept out of every text that goes out or into the log.
    pub secrets: Vec<crate::config::Secret>,
    /// What it serves; with the path where it speaks OpenAI's dialect as it is, and nothing has to be translated.
    pub operations: Vec<(words::Operation, Option<String>)>,
    /// Where it takes requests in words that are neither OpenAI's nor need translation.
    pub own: Vec<(Dialect, words::Operation, Door)>,
    /// Whether it speaks OpenAI's dialect, be it with settings.
    pub speaks_openai: bool,
    /// What is known of it beside.
    pub known: Known,
    /// How its streams are cut into events.
    pub framing: Framing,
    /// Where the most tokens of output stand in a request, as a pointer into its JSON.
    pub output_limit: &'static str,
}

/// What goes out with every call under one credential.
#[derive(Debug)]
pub struct Attached {
    /// The headers, credential included: made once, attached by the host after the adapter has returned.
    pub headers: HeaderMap,
    /// A query parameter that carries the credential, percent-encoded, for providers that want it there.
    pub query: Option<(String, crate::config::Secret)>,
    /// What each call has to be given anew.
    pub proof: Option<Proof>,
}

/// A credential that is not the same in every call.
#[derive(Debug)]
pub enum Proof {
    /// A signature over the whole request.
    Aws(Signer),
    /// A token that ends after a while.
    Google(Arc<Tokens>),
}

impl Provider {
    /// Whether it can be asked for this at all.
    pub fn serves(&self, operation: Operation) -> bool {
        match &self.way {
            Way::Simulated(_) => !operation.is_media(),
            // Images and sound have no canonical form that an adapter could translate.
            Way::Remote(remote) if operation.is_media() => remote.path(operation).is_some(),
            Way::Remote(remote) => remote.operations.iter().any(|(served, _)| *served == operation.into()),
        }
    }
}

impl Remote {
    /// Where this is asked for in OpenAI's dialect; nothing where the adapter translates.
    pub fn path(&self, operation: Operation) -> Option<&str> {
        let served = self.operations.iter().find(|(served, _)| *served == operation.into());
        served.and_then(|(_, path)| path.as_deref())
    }

    /// Where this is asked for in this dialect, which the provider speaks as it is.
    pub fn door(&self, dialect: Dialect, operation: Operation) -> Option<&Door> {
        let operation = operation.into();
        let is_this = |(known, served, _): &&(Dialect, _, _)| *known == dialect && *served == operation;
        self.own.iter().find(is_this).map(|(_, _, door)| door)
    }
}

impl From<Operation> for words::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Chat => Self::Chat,
            Operation::CountTokens => Self::CountTokens,
            Operation::Embedding => Self::Embedding,
            Operation::Moderation => Self::Moderation,
            Operation::Rerank => Self::Rerank,
            Operation::Image | Operation::ImageEdit => Self::Image,
            Operation::Speech => Self::Speech,
            Operation::Transcription | Operation::Translation => Self::Transcription,
        }
    }
}

/// A model of the catalog, ready to be called.
#[derive(Debug)]
pub struct Model {
    /// Its name in the catalog.
    pub id: String,
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The provider's own name of it, and the same as JSON text.
    pub upstream: String,
    /// Unknown where absent.
    pub price: Option<Arc<Price>>,
    /// Tokens of input and output together.
    pub context: Option<u32>,
    /// Tokens of output.
    pub max_output: Option<u32>,
    /// Free words for policies.
    pub tags: Vec<String>,
    /// The provider's settings with the model's own over them, as JSON text.
    pub settings: String,
    /// What it can do, where somebody said.
    pub abilities: Option<words::Abilities>,
    /// How it has been doing, and what its provider said of it.
    pub seen: Seen,
    /// How much of it may be used.
    pub limited: Limited,
    /// How long its answers may take, as far as the model or its provider says.
    pub timeouts: Timeouts,
    /// Where it is counted.
    pub meter: ModelMeter,
    /// What may be spent on it.
    pub budgets: Vec<Arc<Scoped>>,
    /// Its id, as the ledger has it.
    pub counted_as: Arc<str>,
}

impl Provider {
    /// A text of the provider's without the secrets that it may quote.
    pub fn redact(&self, text: String) -> String {
        self.secrets().fold(text, |text, secret| {
            if text.contains(&*secret) {
                text.replace(&*secret, "…")
            } else {
                text
            }
        })
    }

    /// As [`Provider::redact`], of what need not be text. Copies only where there is something to leave out.
    pub fn redact_bytes(&self, bytes: Bytes) -> Bytes {
        self.secrets().fold(bytes, |bytes, secret| {
            let places: Vec<usize> = memmem::find_iter(&bytes, secret.as_bytes()).collect();
            if places.is_empty() {
                return bytes;
            }
            let mut left = Vec::with_capacity(bytes.len());
            let mut at = 0;
            for place in places {
                left.extend_from_slice(&bytes[at..place]);
                left.extend_from_slice("…".as_bytes());
                at = place + secret.len();
            }
            left.extend_from_slice(&bytes[at..]);
            left.into()
        })
    }

    fn secrets(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (secrets, attached) = match &self.way {
            Way::Remote(remote) => (remote.secrets.as_slice(), remote.attached.as_slice()),
            Way::Simulated(_) => (&[][..], &[][..]),
        };
        let tokens = attached.iter().filter_map(|attached| match &attached.proof {
            Some(Proof::Google(tokens)) => tokens.current(),
            _ => None,
        });
        let fixed = secrets.iter().map(|secret| Cow::Borrowed(secret.reveal()));
        fixed.chain(tokens.map(Cow::Owned))
    }
}

impl Model {
    /// All that decides what it answers, whatever it is called here: another generation's with the same answers has the same.
    pub fn source(&self) -> String {
        let way = match &self.provider.way {
            Way::Simulated(config) => format!("{config:?}"),
            Way::Remote(remote) => format!("{} {}", remote.upstream.endpoint(), remote.adapter.digest()),
        };
        format!("{} {way} {} {}", self.provider.name, self.upstream, self.settings)
    }

    /// Makes a model of its configuration.
    pub fn new(id: &str, config: &ModelConfig, provider: Arc<Provider>, seen: Seen, meter: &Meter) -> Self {
        Self {
            meter: meter.model(&provider.name, id),
            id: id.to_owned(),
            counted_as: id.into(),
            budgets: scoped(Scope::Model(id.into()), &config.budgets),
            upstream: config.upstream.clone(),
            price: config.price.clone(),
            context: config.context,
            max_output: config.max_output,
            tags: config.tags.clone(),
            settings: overlaid(&provider.settings, &config.settings).to_string(),
            abilities: config.abilities.map(flags),
            timeouts: config.timeouts.or(provider.timeouts),
            provider,
            limited: Limited::new(config.limits, seen.limiter.clone()),
            seen,
        }
    }

    /// What so much use of it costs, where both are known.
    pub fn cost(&self, usage: Option<&Usage>) -> Option<Nanodollars> {
        Some(self.price.as_ref()?.cost(usage?))
    }
}

/// How models that no configuration names are counted.
const ANY_MODEL: &str = "(any)";

/// A name that clients ask for.
#[derive(Debug)]
pub struct Route {
    /// The name.
    pub name: String,
    /// As metrics call it: the name, unless clients choose it.
    pub label: String,
    /// Retries and timeouts.
    pub config: RouteConfig,
    /// In order of preference where no policy says otherwise, with weights.
    pub candidates: Vec<(Arc<Model>, u32)>,
    /// In the order in which they run.
    pub policies: Vec<LoadedPolicy>,
    /// Counts answers that were given.
    pub served: Counter,
    /// What may be spent on it.
    pub budgets: Vec<Arc<Scoped>>,
    /// Its name, as the ledger has it.
    pub counted_as: Arc<str>,
    /// What answers are compared with, to say what routing saved; the dearest candidate where absent.
    pub reference: Option<Arc<Model>>,
}

/// A policy of the configuration.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// The component, configured.
    pub policy: Policy,
    /// What follows when it fails.
    pub on_fault: OnFault,
}

impl Generation {
    /// Puts the parts together; `models` and `policies` hold every name that the routes use, as the configuration's
    /// check has seen to.
    pub fn new(
        number: u64,
        config: Config,
        providers: BTreeMap<String, Arc<Provider>>,
        models: BTreeMap<String, Arc<Model>>,
        policies: BTreeMap<String, LoadedPolicy>,
        meter: Meter,
        alive: Alive,
    ) -> Self {
        let route = |name: &str, config: &RouteConfig| {
            let model = |c: &crate::config::RouteCandidate| Some((models.get(&c.model)?.clone(), c.weight));
            let candidates = config.candidates.iter().filter_map(model).collect();
            let chain = config.policies.iter();
            let chain = chain.filter_map(|name| policies.get(name).cloned()).collect();
            Arc::new(Route {
                name: name.to_owned(),
                label: name.to_owned(),
                config: config.clone(),
                candidates,
                policies: chain,
                served: meter.good_requests(name),
                budgets: scoped(Scope::Route(name.into()), &config.budgets),
                counted_as: name.into(),
                reference: config.reference.as_ref().and_then(|id| models.get(id).cloned()),
            })
        };
        let routes = config
            .routes
            .iter()
            .map(|(name, config)| (name.clone(), route(name, config)))
            .collect();
        let direct = models
            .keys()
            .map(|id| (id.clone(), route(id, &RouteConfig::direct(id))))
            .collect();
        let label_budgets = config.labels.iter().map(|((label, value), budgets)| {
            let scope = Scope::Label(label.as_str().into(), value.as_str().into());
            ((label.clone(), value.clone()), scoped(scope, budgets))
        });
        Self {
            number,
            label_budgets: label_budgets.collect(),
            config,
            models,
            routes,
            providers,
            policies,
            direct,
            meter,
            _alive: alive,
        }
    }

    /// What a client's model name leads to: a route, a model's id, or any name of a provider that allows it.
    pub fn resolve(&self, name: &str) -> Option<Arc<Route>> {
        self.routes
            .get(name)
            .or_else(|| self.direct.get(name))
            .cloned()
            .or_else(|| self.unlisted(name))
    }

    /// Closes connections to providers that nobody has used for a while.
    pub fn close_old_connections(&self) {
        for provider in self.providers.values() {
            if let Way::Remote(remote) = &provider.way {
                remote.upstream.close_old();
            }
        }
    }
}

/// Budgets with whose they are.
pub fn scoped(scope: Scope, budgets: &[Budget]) -> Vec<Arc<Scoped>> {
    let scoped = |budget: &Budget| {
        Arc::new(Scoped {
            scope: scope.clone(),
            budget: budget.clone(),
        })
    };
    budgets.iter().map(scoped).collect()
}

/// The members of the second over those of the first.
fn overlaid(below: &serde_json::Value, above: &serde_json::Value) -> serde_json::Value {
    let mut whole = below.as_object().cloned().unwrap_or_default();
    whole.extend(above.as_object().cloned().unwrap_or_default());
    whole.into()
}

fn flags(abilities: Abilities) -> words::Abilities {
    use words::Abilities as Flag;
    let pairs = [
        (abilities.streaming, Flag::STREAMING),
        (abilities.tools, Flag::TOOLS),
        (abilities.parallel_tools, Flag::PARALLEL_TOOLS),
        (abilities.vision, Flag::VISION),
        (abilities.audio, Flag::AUDIO),
        (abilities.structured_output, Flag::STRUCTURED_OUTPUT),
        (abilities.reasoning, Flag::REASONING),
        (abilities.prompt_cache, Flag::PROMPT_CACHE),
    ];
    pairs
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(Flag::empty(), |flags, (_, flag)| flags | flag)
}
