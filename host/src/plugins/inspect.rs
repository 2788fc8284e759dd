//! What a component is, without serving it: for people who decide whether to.

use std::time::{Duration, Instant as Moment};

use super::PluginSource;
use super::digest::Digest;
use super::engine::Engine;
use super::fault::LoadError;
use super::grants::{self, Grant, Need, World};
use super::instance::Blueprint;
use super::limits::Limits;
use super::load;

/// What there is to know about a component before it is configured.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What kind of plugin it is; none where it is no plugin of this gateway.
    pub world: Option<World>,
    /// What it imports, and what each import takes.
    pub imports: Vec<Import>,
    /// The grants that its imports need.
    pub grants: Vec<Grant>,
    /// Whether it is loaded without them, too: what it imports without a grant then traps when it is called.
    pub can_do_without: bool,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// What its bytes are.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: usize,
    /// Linear memories.
    pub memories: u32,
    /// Bytes of the largest of them to begin with.
    pub initial_memory_bytes: u64,
    /// Time to compile, or to find it compiled in the cache.
    pub compile_time: Duration,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The interface and its version.
    pub name: String,
    /// What has to be given for it, or why it cannot be.
    pub needs: String,
    /// Whether this gateway can give it.
    pub is_offered: bool,
}

/// What a plugin that is in service looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many bytes its component has.
    pub size: usize,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
}

impl Shape {
    pub(super) fn of(source: &PluginSource, blueprint: &Blueprint) -> Shape {
        let component = blueprint.pre.component();
        Shape {
            size: source.bytes.len(),
            imports: grants::needs(component).into_iter().map(|(name, _)| name).collect(),
            exports: load::exports(component),
        }
    }
}

/// Compiles a component and reads it. Blocks for as long as compiling takes.
pub fn inspect(engine: &Engine, bytes: &[u8]) -> Result<Inspection, LoadError> {
    load::check_form(bytes, Limits::default().component_bytes)?;
    let began = Moment::now();
    let component = load::compile(engine, bytes)?;
    let compile_time = began.elapsed();
    let exports = load::exports(&component);
    let needs = grants::needs(&component);
    let mut grants: Vec<Grant> = needs.iter().filter_map(|(_, need)| granted_by(need)).collect();
    grants.sort();
    let can_do_without = grants::can_do_without(&needs);
    let resources = component.resources_required();
    Ok(Inspection {
        world: World::of(exports.iter().map(String::as_str)),
        imports: needs
            .into_iter()
            .map(|(name, need)| import(name, need, can_do_without))
            .collect(),
        grants,
        can_do_without,
        exports,
        digest: Digest::of(bytes),
        size: bytes.len(),
        memories: resources.as_ref().map_or(0, |resources| resources.num_memories),
        initial_memory_bytes: load::initial_bytes(resources.and_then(|resources| resources.max_initial_memory_size)),
        compile_time,
    })
}

fn granted_by(need: &Need) -> Option<Grant> {
    match need {
        Need::Grant(grant) => Some(*grant),
        _ => None,
    }
}

fn import(name: String, need: Need, can_do_without: bool) -> Import {
    let (needs, is_offered) = match need {
        Need::Nothing => ("nothing".into(), true),
        Need::Grants => ("nothing: the plugin can do without grants".into(), true),
        Need::Prompt | Need::Timeouts => ("nothing (policies alone)".into(), true),
        Need::Grant(grant) if can_do_without => (format!("the grant `{grant}`, or traps when it is called"), true),
        Need::Grant(grant) if grant.is_offered() => (format!("the grant `{grant}`"), true),
        Need::Grant(grant) => (format!("the grant `{grant}`, which this version does not offer"), false),
        Need::Wasi => ("nothing: it is given an inert WASI 0.2".into(), true),
        Need::Unknown(why) => (why, false),
    };
    Import {
        name,
        needs,
        is_offered,
    }
}
