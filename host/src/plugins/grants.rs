//! What a component may import: what its world gives everybody, what the configuration grants, and an inert WASI.
//! An import is a grant that somebody has to give, and a refusal says which, and how.

use std::fmt;
use std::str::FromStr;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::fault::LoadError;

const PACKAGE: &str = "pointsman:plugin/";
const CONTRACT: &str = "0.1.";

/// What kind of plugin a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum World {
    /// Decides where requests go.
    Policy,
    /// Speaks a provider's dialect.
    Adapter,
}

impl World {
    /// The table of the configuration that plugins of this kind are set up in.
    pub fn section(self) -> &'static str {
        match self {
            World::Policy => "policies",
            World::Adapter => "providers",
        }
    }

    /// Which world these exports make, if either.
    pub(super) fn of<'a>(exports: impl IntoIterator<Item = &'a str>) -> Option<World> {
        exports.into_iter().find_map(|export| match unversioned(export) {
            "pointsman:plugin/route" => Some(World::Policy),
            "pointsman:plugin/unary" => Some(World::Adapter),
            _ => None,
        })
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::Policy => "policy",
            World::Adapter => "adapter",
        })
    }
}

/// What the configuration can allow a plugin to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// A small store of the plugin's own.
    State,
    /// What has been spent and is held.
    Spend,
    /// Models, through the gateway.
    Models,
    /// Named URLs.
    Fetch,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Grant; 4] = [Grant::State, Grant::Spend, Grant::Models, Grant::Fetch];

    /// The name in the configuration, and that of the interface.
    pub fn name(self) -> &'static str {
        match self {
            Grant::State => "state",
            Grant::Spend => "spend",
            Grant::Models => "models",
            Grant::Fetch => "fetch",
        }
    }

    /// Whether this version of the gateway can give it.
    pub fn is_offered(self) -> bool {
        matches!(self, Grant::State | Grant::Models)
    }

    /// The grant that an interface needs, if it needs one.
    fn of_interface(interface: &str) -> Option<Grant> {
        Grant::ALL.into_iter().find(|grant| grant.name() == interface)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(name: &str) -> Result<Grant, String> {
        let names = || Grant::ALL.map(Grant::name).join(", ");
        Grant::of_interface(name).ok_or_else(|| format!("there is no grant `{name}`: give any of {}", names()))
    }
}

/// What a component's linker has to offer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) grants: bool,
    pub(super) prompt: bool,
    pub(super) timeouts: bool,
    pub(super) state: bool,
    pub(super) models: bool,
    pub(super) wasi: bool,
    /// Interfaces that it can do without, and what a call of them says.
    pub(super) lacking: Vec<(String, String)>,
}

/// What one import is to a plugin of either world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Types alone, or the log: nobody has to give it.
    Nothing,
    Prompt,
    /// What a policy says of times beside its plan.
    Timeouts,
    /// The interface that asks what was granted: whoever imports it can do without the rest.
    Grants,
    Grant(Grant),
    Wasi,
    /// There is no such thing here; the text says what would help.
    Unknown(String),
}

/// Holds the component's imports to its world and its grants.
pub(super) fn check(component: &Component, world: World, name: &str, grants: &[Grant]) -> Result<Access, LoadError> {
    let mut access = Access::default();
    let needs = needs(component);
    let can_do_without = can_do_without(&needs);
    for (import, need) in needs {
        match need {
            Need::Nothing => {}
            Need::Grants => access.grants = true,
            Need::Grant(grant) if can_do_without && !grants.contains(&grant) => {
                access.lacking.push((import, lacking(grant, world, name)));
            }
            Need::Prompt if world == World::Policy => access.prompt = true,
            Need::Timeouts if world == World::Policy => access.timeouts = true,
            Need::Prompt | Need::Timeouts => {
                return Err(LoadError::Import(format!(
                    "imports `{import}`, which adapters are not given"
                )));
            }
            Need::Grant(grant @ (Grant::Spend | Grant::Fetch)) => return Err(not_offered(&import, grant)),
            Need::Grant(grant) if world == World::Adapter => {
                return Err(LoadError::Import(format!(
                    "imports `{import}`, but `{grant}` cannot be granted to adapters"
                )));
            }
            Need::Grant(grant) if !grants.contains(&grant) => return Err(ungranted(&import, grant, world, name)),
            Need::Grant(Grant::State) => access.state = true,
            Need::Grant(Grant::Models) => access.models = true,
            Need::Wasi => access.wasi = true,
            Need::Unknown(help) => return Err(LoadError::Import(format!("imports `{import}`, {help}"))),
        }
    }
    Ok(access)
}

/// Whether the component says that it can do with less than it imports.
pub(super) fn can_do_without(needs: &[(String, Need)]) -> bool {
    needs.iter().any(|(_, need)| *need == Need::Grants)
}

/// Refuses grants that this version cannot give, before anything is compiled.
pub(super) fn check_offered(grants: &[Grant]) -> Result<(), LoadError> {
    match grants.iter().find(|grant| !grant.is_offered()) {
        Some(grant) => Err(LoadError::Import(format!(
            "the grant `{grant}` is not offered by this version of the gateway"
        ))),
        None => Ok(()),
    }
}

fn not_offered(import: &str, grant: Grant) -> LoadError {
    LoadError::Import(format!(
        "imports `{import}`, but the grant `{grant}` is not offered by this version of the gateway"
    ))
}

fn ungranted(import: &str, grant: Grant, world: World, name: &str) -> LoadError {
    LoadError::Import(format!(
        "imports `{import}`, which needs the grant `{grant}`: add grants = [\"{grant}\"] to [{}.{name}], or leave the \
         import out of the plugin's world",
        world.section()
    ))
}

/// What a guest hears that calls what it was not granted.
fn lacking(grant: Grant, world: World, name: &str) -> String {
    if !grant.is_offered() || world == World::Adapter {
        return format!("`{grant}` is not to be had here: ask `grants.given()` before calling it");
    }
    format!(
        "`{grant}` is not granted: add grants = [\"{grant}\"] to [{}.{name}], or ask `grants.given()` before calling it",
        world.section()
    )
}

/// Every import of a component and what it takes to satisfy it.
pub(super) fn needs(component: &Component) -> Vec<(String, Need)> {
    let engine = component.engine();
    let ty = component.component_type();
    let need = |name: &str, item: ComponentItem| match item {
        ComponentItem::ComponentInstance(instance) => {
            let is_types = instance
                .exports(engine)
                .all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)));
            if is_types { Need::Nothing } else { need_of(name) }
        }
        ComponentItem::Type(_) => Need::Nothing,
        _ => Need::Unknown("which is not an interface: plugins import interfaces alone".into()),
    };
    ty.imports(engine)
        .map(|(name, item)| (name.to_owned(), need(name, item.ty)))
        .collect()
}

fn need_of(import: &str) -> Need {
    let interface = unversioned(import);
    let version = import.split_once('@').map_or("none", |(_, version)| version);
    if let Some(interface) = interface.strip_prefix(PACKAGE) {
        if !version.starts_with(CONTRACT) {
            return Need::Unknown(format!(
                "of contract version {version}: this gateway speaks {CONTRACT}x"
            ));
        }
        return match (interface, Grant::of_interface(interface)) {
            ("log", _) => Need::Nothing,
            ("prompt", _) => Need::Prompt,
            ("timeouts", _) => Need::Timeouts,
            ("grants", _) => Need::Grants,
            (_, Some(grant)) => Need::Grant(grant),
            _ => Need::Unknown("which this version of the gateway does not know".into()),
        };
    }
    match interface.split_once('/').map_or(interface, |(package, _)| package) {
        "wasi:io" | "wasi:cli" | "wasi:clocks" | "wasi:random" | "wasi:filesystem" | "wasi:sockets"
            if version.starts_with("0.2.") =>
        {
            Need::Wasi
        }
        "wasi:io" | "wasi:cli" | "wasi:clocks" | "wasi:random" | "wasi:filesystem" | "wasi:sockets" => Need::Unknown(
            format!("but plugins are given WASI 0.2, not {version}: build for wasm32-wasip2"),
        ),
        "wasi:http" => Need::Unknown(
            "but plugins make no requests of their own: build without it (componentize-js and jco: `-d http -d \
             fetch-event`)"
                .into(),
        ),
        _ => Need::Unknown("which plugins are not given: build for wasm32-unknown-unknown or wasm32-wasip2".into()),
    }
}

fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_named_as_in_the_configuration() {
        assert!(Grant::ALL.iter().all(|grant| grant.name().parse() == Ok(*grant)));
        assert_eq!(
            "net".parse::<Grant>().unwrap_err(),
            "there is no grant `net`: give any of state, spend, models, fetch"
        );
    }

    #[test]
    fn an_interface_of_another_contract_is_named_with_its_version() {
        let Need::Unknown(help) = need_of("pointsman:plugin/prompt@0.2.0") else {
            panic!("it was taken")
        };
        assert_eq!(help, "of contract version 0.2.0: this gateway speaks 0.1.x");
    }

    #[test]
    fn wasi_is_taken_in_version_two_alone() {
        assert_eq!(need_of("wasi:cli/stdout@0.2.6"), Need::Wasi);
        assert!(matches!(need_of("wasi:cli/stdout@0.3.0"), Need::Unknown(_)));
        assert!(matches!(need_of("wasi:http/types@0.2.6"), Need::Unknown(_)));
    }
}
