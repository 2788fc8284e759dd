//! From bytes to something that can be instantiated: size, form, compilation, world, imports, resources, and what the
//! plugin says to its configuration. Whoever passes here can be called. Blocks for as long as compiling takes: called
//! on the compile thread, never on a runtime's worker.

use std::sync::Arc;

use tracing::info;
use wasmtime::component::Component;

use super::PluginSource;
use super::engine::Engine;
use super::fault::LoadError;
use super::functions::Functions;
use super::grants::{self, Grant, World};
use super::imports::{self, Inputs};
use super::instance::{Blueprint, Instance};
use super::limits::Limits;
use super::log::Identity;
use super::snapshot::{self, Kept, Slot};

/// What is asked of a component.
pub(super) struct Order<'a> {
    pub(super) source: &'a PluginSource,
    pub(super) world: World,
    pub(super) grants: &'a [Grant],
    pub(super) limits: &'a Limits,
    /// The configuration: part of what a snapshot is kept by.
    pub(super) configuration: &'a str,
    /// Sets a new instance up and returns its warnings.
    pub(super) configure: &'a Configure<'a>,
}

/// Sets up an instance of a blueprint; what comes back are warnings.
pub(super) type Configure<'a> = dyn Fn(&Blueprint, &mut Instance) -> Result<Vec<String>, LoadError> + 'a;

/// A plugin that may be called.
pub(super) struct Loaded {
    pub(super) blueprint: Blueprint,
    /// Whether instances start configured; otherwise each must be configured first.
    pub(super) is_baked: bool,
    pub(super) warnings: Vec<String>,
}

/// Does all of it, with as little compiling as the caches allow.
pub(super) fn load(engine: &Engine, order: &Order<'_>) -> Result<Loaded, LoadError> {
    let source = order.source;
    check_form(&source.bytes, order.limits.component_bytes)?;
    grants::check_offered(order.grants)?;
    let functions = engine.cache("functions");
    let _functions = Functions::of(functions.as_deref(), engine.wasm(), &source.digest);
    let slot = engine.cache("snapshots").map(|dir| {
        let configuration = format!("{:?} {:?} {}", order.world, order.grants, order.configuration);
        Slot::new(&dir, engine.wasm(), &source.digest, configuration.as_bytes())
    });
    if let Some(loaded) = slot.as_ref().and_then(|slot| reload(engine, order, slot)) {
        return Ok(loaded);
    }
    match snapshot::instrument(&source.bytes) {
        Ok(instrumented) => {
            let blueprint = blueprint(engine, order, &instrumented.bytes)?;
            let (mut instance, warnings) = configured(order, &blueprint)?;
            let taken = instrumented.take(&mut instance).and_then(|component| {
                let blueprint = self::blueprint(engine, order, &component).map_err(|error| error.to_string())?;
                Ok((component, blueprint))
            });
            match taken {
                Ok((component, blueprint)) => {
                    let kept = Kept { component, warnings };
                    if let Some(slot) = slot {
                        slot.write(&kept);
                    }
                    Ok(Loaded {
                        blueprint,
                        is_baked: true,
                        warnings: kept.warnings,
                    })
                }
                Err(why) => plain(engine, order, &why),
            }
        }
        Err(why) => plain(engine, order, &why),
    }
}

/// Refuses what cannot be a component before anybody spends time on it.
pub(super) fn check_form(bytes: &[u8], limit: usize) -> Result<(), LoadError> {
    if bytes.len() > limit {
        return Err(LoadError::TooLarge {
            size: bytes.len(),
            limit,
        });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    // Four bytes of magic, then version and layer: 1 and 0 for modules, 13 and 1 for components.
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Ok(()),
        _ => Err(LoadError::NotWasm(beginning(bytes))),
    }
}

pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    Component::from_binary(engine.wasm(), bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))
}

/// A plugin whose snapshot was kept. Anything wrong with it, and it is made again.
fn reload(engine: &Engine, order: &Order<'_>, slot: &Slot) -> Option<Loaded> {
    let Kept { component, warnings } = slot.read()?;
    match blueprint(engine, order, &component) {
        Ok(blueprint) => Some(Loaded {
            blueprint,
            is_baked: true,
            warnings,
        }),
        Err(_) => {
            slot.forget();
            None
        }
    }
}

/// Without a snapshot: every call configures its instance first.
fn plain(engine: &Engine, order: &Order<'_>, why: &str) -> Result<Loaded, LoadError> {
    let blueprint = blueprint(engine, order, &order.source.bytes)?;
    let (_, warnings) = configured(order, &blueprint)?;
    info!(
        plugin = order.source.name,
        "its configuration is read at every call, which is slower: {why}"
    );
    Ok(Loaded {
        blueprint,
        is_baked: false,
        warnings,
    })
}

fn configured(order: &Order<'_>, blueprint: &Blueprint) -> Result<(Instance, Vec<String>), LoadError> {
    let mut instance = blueprint.start(Inputs::default(), order.limits.configure_ms)?;
    let warnings = (order.configure)(blueprint, &mut instance)?;
    Ok((instance, warnings))
}

/// Compiles and checks; the last of the checks is wasmtime's own, of every type against the contract.
pub(super) fn blueprint(engine: &Engine, order: &Order<'_>, bytes: &[u8]) -> Result<Blueprint, LoadError> {
    let component = compile(engine, bytes)?;
    check_world(&component, order.world)?;
    let access = grants::check(&component, order.world, &order.source.name, order.grants)?;
    check_resources(&component, order.limits)?;
    // Otherwise the first call would make the image that instances' memories are mapped from.
    component
        .initialize_copy_on_write_image()
        .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let linker = imports::linker(&component, &access).map_err(mismatch)?;
    let pre = linker.instantiate_pre(&component).map_err(mismatch)?;
    let identity = Identity {
        name: order.source.name.clone(),
        digest: order.source.shown().short(),
    };
    Ok(Blueprint {
        pre,
        identity: Arc::new(identity),
        limits: Arc::new(order.limits.clone()),
        grants: given(order.grants),
        uses_wasi: access.wasi,
        deadlines: engine.deadlines().clone(),
        may_ask: access.models,
        may_say_times: access.timeouts,
    })
}

/// Each grant once, in one order.
fn given(grants: &[Grant]) -> Arc<[Grant]> {
    let mut given = grants.to_vec();
    given.sort();
    given.dedup();
    given.into()
}

/// The contract's interfaces are there, but not as this host knows them.
pub(super) fn mismatch(error: wasmtime::Error) -> LoadError {
    LoadError::WrongWorld(format!(
        "the component does not fit the contract pointsman:plugin@0.1.0: {error:#}"
    ))
}

fn check_world(component: &Component, wanted: World) -> Result<(), LoadError> {
    let exports = exports(component);
    match World::of(exports.iter().map(String::as_str)) {
        Some(world) if world == wanted => Ok(()),
        Some(world) => Err(LoadError::WrongWorld(format!(
            "this is a component of world `{world}`; a {wanted} is needed here"
        ))),
        None if exports.is_empty() => Err(LoadError::WrongWorld(format!(
            "the component exports nothing; a {wanted} is needed here"
        ))),
        None => Err(LoadError::WrongWorld(format!(
            "the component is no {wanted}: it exports {}, and nothing of pointsman:plugin",
            exports.join(", ")
        ))),
    }
}

pub(super) fn exports(component: &Component) -> Vec<String> {
    component
        .component_type()
        .exports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn check_resources(component: &Component, limits: &Limits) -> Result<(), LoadError> {
    let Some(needed) = component.resources_required() else {
        return Ok(());
    };
    let figures = [
        (
            "memories",
            "linear memories",
            u64::from(needed.num_memories),
            limits.memories as u64,
        ),
        ("tables", "tables", u64::from(needed.num_tables), limits.tables as u64),
        (
            "memory_bytes",
            "bytes of memory to begin with",
            initial_bytes(needed.max_initial_memory_size),
            limits.memory_bytes as u64,
        ),
        (
            "table_elements",
            "table elements to begin with",
            needed.max_initial_table_size.unwrap_or(0),
            limits.table_elements as u64,
        ),
    ];
    match figures.into_iter().find(|(.., wanted, limit)| wanted > limit) {
        Some((key, what, wanted, limit)) => Err(LoadError::Resources(format!(
            "the component needs {wanted} {what}; the limit is {limit} (limits.{key})"
        ))),
        None => Ok(()),
    }
}

pub(super) fn initial_bytes(pages: Option<u64>) -> u64 {
    pages.unwrap_or(0).saturating_mul(64 << 10)
}

fn beginning(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing, it is empty".into(),
        _ => format!("`{}`", bytes[..bytes.len().min(8)].escape_ascii()),
    }
}
