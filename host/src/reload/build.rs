//! A generation out of a configuration and files: plugins are loaded, or taken over from the running generation where
//! nothing about them has changed.

mod dialect;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attached::{attached, framing, key_numbers, placed, secrets};
use super::files::{Content, Contents};
use super::policy_file::{self, Unusable};
use crate::app::App;
use crate::budget::Scope;
use crate::config::{ComponentRef, Config, PolicyConfig, ProviderConfig, Timeouts};
use crate::generation::{
    Alive, Attached, Credential, Credentials, Generation, Known, LoadedPolicy, Model, Provider, Remote, Seen, Unlisted,
    Way, scoped,
};
use crate::plugins::words::{Dialects, Operation};
use crate::plugins::{Adapter, AdapterSpec, Digest, LoadError, PluginSource, Policy, PolicySpec};
use crate::reports::Problem;
use crate::upstream::limits::Limited;
use crate::upstream::retries::Retries;
use crate::upstream::{Endpoint, TlsRoots, Upstream};

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// A generation, and what to remember of it.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) generation: Generation,
    pub(super) files: Vec<ServedFile>,
    pub(super) warnings: Vec<String>,
}

/// A plugin's file in service.
#[derive(Debug)]
pub(super) struct ServedFile {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) bytes: Arc<[u8]>,
}

/// Makes a generation, or names everything that is wrong.
pub(super) fn build(
    app: &App,
    config: &Config,
    contents: &Contents,
    running: Option<&Generation>,
    number: u64,
) -> Result<Built, Vec<Problem>> {
    let mut builder = Builder {
        app,
        config,
        contents,
        running,
        adapters: BTreeMap::new(),
        problems: Vec::new(),
    };
    let policies = builder.policies();
    let providers = builder.providers();
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    let mut warnings = config.warnings.clone();
    for (name, policy) in &policies {
        warnings.extend(
            policy
                .policy
                .warnings()
                .iter()
                .map(|warning| format!("policies.{name}: {warning}")),
        );
    }
    let model = |(id, model): (&String, &crate::config::ModelConfig)| {
        let provider = providers.get(&model.provider)?;
        let numbers = key_numbers(config.providers.get(&model.provider)?);
        let seen = Seen {
            health: app.health.of(id),
            lanes: numbers.iter().map(|number| app.health.lane(id, *number)).collect(),
            limiter: app.health.limiter("model", id, 0),
            queue: app.health.queue(id),
        };
        Some((
            id.clone(),
            Arc::new(Model::new(id, model, provider.clone(), seen, &app.meter)),
        ))
    };
    let models = config.models.iter().filter_map(model).collect();
    let alive = Alive::one_more(&app.alive);
    let generation = Generation::new(
        number,
        config.clone(),
        providers,
        models,
        policies,
        app.meter.clone(),
        alive,
    );
    Ok(Built {
        generation,
        files: served(contents),
        warnings,
    })
}

fn served(contents: &Contents) -> Vec<ServedFile> {
    let file = |(path, content): (&PathBuf, &Content)| match content {
        Content::Bytes { bytes, digest, .. } => Some(ServedFile {
            path: path.clone(),
            digest: *digest,
            bytes: bytes.clone(),
        }),
        Content::TooLarge { .. } | Content::Unreadable(_) => None,
    };
    contents.iter().filter_map(file).collect()
}

struct Builder<'a> {
    app: &'a App,
    config: &'a Config,
    contents: &'a Contents,
    running: Option<&'a Generation>,
    /// Several providers may share an adapter.
    adapters: BTreeMap<String, Adapter>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn policies(&mut self) -> BTreeMap<String, LoadedPolicy> {
        let config = self.config;
        let mut policies = BTreeMap::new();
        for (name, policy) in &config.policies {
            match self.policy(name, policy) {
                Ok(loaded) => {
                    policies.insert(name.clone(), loaded);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        policies
    }

    fn policy(&self, name: &str, config: &PolicyConfig) -> Result<LoadedPolicy, Problem> {
        let unusable = |Unusable { digest, reason }| problem(name, digest, &reason);
        let file = policy_file::read(config, self.contents).map_err(unusable)?;
        let source = PluginSource {
            file: file.as_ref().map(|file| file.digest),
            ..self.source(name, "policy", &config.component)?
        };
        let (component, shown) = (source.digest, source.shown());
        if let Some(known) = self.known_policy(name, config, &source) {
            return Ok(LoadedPolicy {
                policy: known,
                on_fault: config.on_fault,
            });
        }
        let spec = PolicySpec {
            source,
            config_json: policy_file::handed_over(config, file.as_ref()),
            grants: config.grants.clone(),
            models: config.models.clone(),
            instances: config.instances,
            limits: config.limits.clone(),
        };
        let loaded = Policy::load(&self.app.engine, spec, &self.app.state);
        let policy = loaded.map_err(|error| {
            // What is in the box is good, so that its file is at fault; a component of somebody's own may be at fault itself.
            let is_the_file = matches!(config.component, ComponentRef::BuiltIn(_));
            let blamed = match error {
                LoadError::Configuration(_) => shown,
                _ if is_the_file => shown,
                _ => component,
            };
            problem(name, Some(blamed), &error)
        })?;
        Ok(LoadedPolicy {
            policy,
            on_fault: config.on_fault,
        })
    }

    /// The running policy of this name, where nothing that it was loaded with has changed.
    fn known_policy(&self, name: &str, config: &PolicyConfig, source: &PluginSource) -> Option<Policy> {
        let running = self.running?;
        let old = running.config.policies.get(name)?;
        let is_same = old.config == config.config
            && old.grants == config.grants
            && old.models == config.models
            && old.instances == config.instances
            && old.limits == config.limits;
        let known = running
            .policies
            .get(name)
            .filter(|known| is_same && known.policy.is_of(source))?;
        Some(known.policy.clone())
    }

    fn providers(&mut self) -> BTreeMap<String, Arc<Provider>> {
        let config = self.config;
        let mut providers = BTreeMap::new();
        for (name, provider) in &config.providers {
            match self.provider(name, provider) {
                Ok(ready) => {
                    providers.insert(name.clone(), Arc::new(ready));
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        providers
    }

    fn provider(&mut self, name: &str, config: &ProviderConfig) -> Result<Provider, Problem> {
        let way = match &config.adapter {
            None => Way::Simulated(config.simulated.clone()),
            Some(component) => Way::Remote(Box::new(self.remote(name, config, component)?)),
        };
        Ok(Provider {
            name: name.to_owned(),
            way,
            allow_any_model: config.allow_any_model,
            settings: config.settings.clone(),
            prompt_cache: config.prompt_cache,
            budgets: scoped(Scope::Provider(name.into()), &config.budgets),
            counted_as: name.into(),
            retries: Retries {
                own: self.app.health.retries(name),
                all: self.app.health.all_retries(),
                rate: self.config.retries,
            },
            credentials: self.credentials(name, config),
            limited: Limited::new(config.limits, self.app.health.limiter("provider", name, 0)),
            queue: config.queue,
            timeouts: config.timeouts,
            unlisted: self.unlisted(name, config),
        })
    }

    /// What was seen of its models that no configuration names, as long as its keys are the same.
    fn unlisted(&self, name: &str, config: &ProviderConfig) -> Arc<Unlisted> {
        let has_same_keys = |running: &&Generation| {
            let known = running.config.providers.get(name);
            known.is_some_and(|known| key_numbers(known) == key_numbers(config))
        };
        let running = self.running.filter(has_same_keys);
        let known = running.and_then(|running| running.providers.get(name));
        known.map(|known| known.unlisted.clone()).unwrap_or_default()
    }

    /// What is kept of each of its keys.
    fn credentials(&self, name: &str, config: &ProviderConfig) -> Credentials {
        let one = |number| {
            Credential::new(Limited::new(
                config.key_limits,
                self.app.health.limiter("credential", name, number),
            ))
        };
        Credentials::new(key_numbers(config).into_iter().map(one).collect())
    }

    fn remote(&mut self, name: &str, config: &ProviderConfig, component: &ComponentRef) -> Result<Remote, Problem> {
        let adapter = self.adapter(component)?;
        let digest = adapter.digest();
        let wrong = |message: String| problem(name, Some(digest), &message);
        let profile = adapter.profile().clone();
        let framing = framing(profile.framing).map_err(|message| wrong(message.to_owned()))?;
        let own = dialect::doors(&profile, config);
        let base = config.base_url.clone().or(profile.base_url);
        let base = base.ok_or_else(|| wrong(format!("[providers.{name}] needs a base_url")))?;
        let base = placed(&base, config).map_err(|reason| wrong(format!("[providers.{name}] {reason}")))?;
        let endpoint = Endpoint::parse(&base).map_err(|reason| wrong(format!("base_url: {reason}")))?;
        let endpoint = endpoint.allowing_private(config.allow_private);
        let authentication = config.authentication.as_ref().unwrap_or(&profile.authentication);
        let keys = config.api_keys.iter().map(Some);
        let keys = keys.chain(config.api_keys.is_empty().then_some(None));
        let attached = keys.map(|key| attached(name, config, key, authentication, &profile.headers, &endpoint));
        let attached: Vec<Attached> = attached.collect::<Result<_, _>>()?;
        let speaks_openai = profile.speaks.contains(Dialects::OPENAI_CHAT);
        let mut paths = profile.paths;
        if !paths.iter().any(|(operation, _)| *operation == Operation::Chat) {
            paths.push((Operation::Chat, "/chat/completions".to_owned()));
        }
        let path = |wanted| paths.iter().find(|(operation, _)| *operation == wanted);
        // What OpenAI's dialect has words for is not what each provider has that speaks it.
        let is_there = |operation: &Operation| match operation {
            Operation::Image | Operation::Speech | Operation::Transcription => config.media.contains(operation),
            Operation::Rerank => !speaks_openai || config.rerank,
            Operation::Moderation => !speaks_openai || config.moderation,
            _ => true,
        };
        let operations = profile.operations.into_iter().filter(is_there).map(|operation| {
            let path = path(operation).filter(|_| speaks_openai).map(|(_, path)| path.clone());
            (operation, path)
        });
        Ok(Remote {
            output_limit: dialect::output_limit(&endpoint, speaks_openai),
            framing,
            upstream: self.upstream(name, config, endpoint).map_err(wrong)?,
            adapter,
            secrets: secrets(config, &attached),
            attached,
            own,
            known: Known {
                limit_headers: config.limit_headers.clone().unwrap_or(profile.limit_headers),
                passing: config.passing.to_string(),
                is_googles: matches!(config.catalog.as_deref(), Some("gemini" | "vertex")),
            },
            speaks_openai,
            operations: operations.collect(),
        })
    }

    /// The running connections, where they lead to the same place under the same key.
    fn upstream(&self, name: &str, config: &ProviderConfig, endpoint: Endpoint) -> Result<Arc<Upstream>, String> {
        let roots = TlsRoots::new(config.ca_file.as_deref())?;
        let known = self.running.and_then(|running| {
            let old = running.config.providers.get(name)?;
            let is_same = old.api_keys == config.api_keys;
            match &running.providers.get(name)?.way {
                Way::Remote(remote)
                    if is_same && *remote.upstream.endpoint() == endpoint && remote.upstream.trusts(&roots) =>
                {
                    Some(remote.upstream.clone())
                }
                _ => None,
            }
        });
        if let Some(known) = known {
            return Ok(known);
        }
        Ok(Upstream::new(endpoint, &roots, Timeouts::CONNECT))
    }

    fn adapter(&mut self, component: &ComponentRef) -> Result<Adapter, Problem> {
        let name = match component {
            ComponentRef::BuiltIn(name) => name.clone(),
            ComponentRef::File { path, .. } => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let source = self.source(&name, "adapter", component)?;
        let digest = source.digest;
        let key = format!("{name}@{digest}");
        if let Some(known) = self.adapters.get(&key).or_else(|| self.known_adapter(&name, digest)) {
            let known = known.clone();
            self.adapters.insert(key, known.clone());
            return Ok(known);
        }
        let spec = AdapterSpec {
            source,
            limits: self.config.plugins.adapter_limits.clone(),
        };
        let loaded = Adapter::load(&self.app.engine, spec).map_err(|error| problem(&name, Some(digest), &error))?;
        self.adapters.insert(key, loaded.clone());
        Ok(loaded)
    }

    fn known_adapter(&self, name: &str, digest: Digest) -> Option<&Adapter> {
        let providers = self.running?.providers.values();
        let adapters = providers.filter_map(|provider| match &provider.way {
            Way::Remote(remote) => Some(&remote.adapter),
            Way::Simulated(_) => None,
        });
        adapters
            .into_iter()
            .find(|adapter| adapter.name() == name && adapter.digest() == digest)
    }

    fn source(&self, name: &str, kind: &str, component: &ComponentRef) -> Result<PluginSource, Problem> {
        match component {
            ComponentRef::BuiltIn(wanted) => from_the_box(name, kind, wanted),
            ComponentRef::File { path, sha256 } => self.file(name, path, sha256.as_deref()),
        }
    }

    fn file(&self, name: &str, path: &Path, pin: Option<&str>) -> Result<PluginSource, Problem> {
        match self.contents.get(path) {
            Some(Content::Bytes { bytes, digest, .. }) => {
                if let Some(pin) = pin.filter(|pin| **pin != digest.to_string()) {
                    let message = format!("{} has the digest {digest}, but is pinned to {pin}", path.display());
                    return Err(problem(name, Some(*digest), &message));
                }
                Ok(PluginSource {
                    name: name.to_owned(),
                    bytes: bytes.clone(),
                    digest: *digest,
                    file: None,
                })
            }
            Some(Content::TooLarge { size, limit, digest }) => {
                let message = format!(
                    "{} has {size} bytes; the limit is {limit} (component_bytes)",
                    path.display()
                );
                Err(problem(name, Some(*digest), &message))
            }
            Some(Content::Unreadable(reason)) => Err(problem(name, None, reason)),
            None => Err(problem(name, None, &format!("{} was not read", path.display()))),
        }
    }
}

/// A component that is in the binary.
pub fn built_in(kind: &str, name: &str) -> Option<&'static [u8]> {
    BUILTIN
        .iter()
        .find(|(own_kind, own_name, _)| *own_kind == kind && *own_name == name)
        .map(|(_, _, bytes)| *bytes)
}

fn from_the_box(name: &str, kind: &str, wanted: &str) -> Result<PluginSource, Problem> {
    let of_kind = || BUILTIN.iter().filter(|(own, _, _)| *own == kind);
    if let Some(bytes) = built_in(kind, wanted) {
        return Ok(PluginSource::new(name, bytes));
    }
    let simulated = (kind == "adapter").then_some("simulated");
    let known = crate::config::dialects::names().filter(|_| kind == "adapter");
    let names: Vec<&str> = of_kind()
        .map(|(_, own, _)| *own)
        .chain(simulated)
        .chain(known)
        .collect();
    let near = crate::config::reader::suggestion(wanted, names.iter().copied());
    let message = format!(
        "there is no built-in {kind} `{wanted}`{near} (there are {}; the path of a file ends in .wasm)",
        names.join(", ")
    );
    Err(problem(name, None, &message))
}

pub(super) fn problem(plugin: &str, digest: Option<Digest>, message: &impl ToString) -> Problem {
    Problem {
        plugin: plugin.to_owned(),
        digest,
        message: message.to_string(),
    }
}
