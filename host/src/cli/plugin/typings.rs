//! The contract as TypeScript sees it: one module per interface of the plugin's world, with the contract's own comments.
//! What may be absent is `T | null | undefined`, because one engine says `null` and the other `undefined`: ask `x != null`.

use std::fmt::Write as _;

use anyhow::Result;
use wit_parser::{Docs, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner, WorldItem};

use super::contract;
use super::manifest::{Engine, Manifest};

/// JavaScript's words that cannot name a function of a module.
const RESERVED: &str = "arguments await break case catch class const continue debugger default delete do else enum eval \
    export extends false finally for function if implements import in instanceof interface let new null package private \
    protected public return static super switch this throw true try typeof var void while with yield";

/// The declarations of everything that the plugin imports and exports.
pub(super) fn of(manifest: &Manifest) -> Result<String> {
    let (resolve, world) = contract::resolve(manifest)?;
    let world = &resolve.worlds[world];
    let mut typings = Typings {
        resolve: &resolve,
        long: match manifest.engine {
            Engine::QuickJs => "number",
            Engine::StarlingMonkey => "bigint",
        },
        text: String::from("// Written by `pointsman plugin build` from the contract; changes to it are lost.\n"),
    };
    for item in world.imports.values() {
        if let WorldItem::Interface { id, .. } = item {
            typings.interface(*id, true);
        }
    }
    for item in world.exports.values() {
        if let WorldItem::Interface { id, .. } = item {
            typings.interface(*id, false);
        }
    }
    Ok(typings.text)
}

struct Typings<'a> {
    resolve: &'a Resolve,
    /// What the engine makes of 64 bits.
    long: &'static str,
    text: String,
}

impl Typings<'_> {
    /// Imported functions are the module's own; exported ones are members of what the plugin exports.
    fn interface(&mut self, id: InterfaceId, is_import: bool) {
        let interface = &self.resolve.interfaces[id];
        let module = self.resolve.id_of(id).unwrap_or_default();
        self.docs(&interface.docs, "");
        let _ = writeln!(self.text, "declare module \"{module}\" {{");
        for (name, id) in &interface.types {
            self.definition(name, &self.resolve.types[*id]);
        }
        if !is_import {
            let name = camel(interface.name.as_deref().unwrap_or_default(), true);
            self.docs(&interface.docs, "  ");
            let _ = writeln!(self.text, "  export interface {name}Exports {{");
        }
        for function in interface.functions.values() {
            self.function(function, is_import);
        }
        if !is_import {
            self.text.push_str("  }\n");
        }
        self.text.push_str("}\n");
    }

    fn function(&mut self, function: &Function, is_import: bool) {
        let indent = if is_import { "  " } else { "    " };
        self.docs(&function.docs, indent);
        let name = camel(&function.name, false);
        let parameters: Vec<String> = function
            .params
            .iter()
            .map(|param| format!("{}: {}", camel(&param.name, false), self.ty(&param.ty)))
            .collect();
        // Of a result only what is right is returned; the other side is thrown.
        let (returned, thrown) = match function.result {
            Some(Type::Id(id)) => match &self.resolve.types[id].kind {
                TypeDefKind::Result(result) => (
                    result.ok.map_or_else(|| "void".to_owned(), |ty| self.ty(&ty)),
                    result.err.map(|ty| self.ty(&ty)),
                ),
                _ => (self.ty(&Type::Id(id)), None),
            },
            Some(ty) => (self.ty(&ty), None),
            None => ("void".to_owned(), None),
        };
        if let Some(thrown) = thrown {
            let _ = writeln!(self.text, "{indent}/** @throws {thrown} */");
        }
        let signature = format!("({}): {returned};", parameters.join(", "));
        let _ = match (is_import, RESERVED.split(' ').any(|word| word == name)) {
            (false, _) => writeln!(self.text, "{indent}{name}{signature}"),
            (true, false) => writeln!(self.text, "{indent}export function {name}{signature}"),
            // Such a word names no function, but a module may export one as that.
            (true, true) => writeln!(
                self.text,
                "{indent}function {name}_{signature}\n{indent}export {{ {name}_ as {name} }};"
            ),
        };
    }

    fn definition(&mut self, name: &str, def: &TypeDef) {
        let name = camel(name, true);
        self.docs(&def.docs, "  ");
        match &def.kind {
            TypeDefKind::Record(record) => {
                let _ = writeln!(self.text, "  export interface {name} {{");
                for field in &record.fields {
                    self.docs(&field.docs, "    ");
                    let optional = if self.is_option(&field.ty) { "?" } else { "" };
                    let _ = writeln!(
                        self.text,
                        "    {}{optional}: {};",
                        camel(&field.name, false),
                        self.ty(&field.ty)
                    );
                }
                self.text.push_str("  }\n");
            }
            TypeDefKind::Flags(flags) => {
                let _ = writeln!(self.text, "  export interface {name} {{");
                for flag in &flags.flags {
                    let _ = writeln!(self.text, "    {}?: boolean;", camel(&flag.name, false));
                }
                self.text.push_str("  }\n");
            }
            TypeDefKind::Variant(variant) => {
                let cases: Vec<String> = variant
                    .cases
                    .iter()
                    .map(|case| match &case.ty {
                        Some(ty) => format!("{{ tag: \"{}\"; val: {} }}", case.name, self.ty(ty)),
                        None => format!("{{ tag: \"{}\" }}", case.name),
                    })
                    .collect();
                let _ = writeln!(self.text, "  export type {name} = {};", cases.join(" | "));
            }
            TypeDefKind::Enum(of) => {
                let cases: Vec<String> = of.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
                let _ = writeln!(self.text, "  export type {name} = {};", cases.join(" | "));
            }
            kind => {
                let _ = writeln!(self.text, "  export type {name} = {};", self.kind(kind));
            }
        }
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "boolean".into(),
            Type::U64 | Type::S64 => self.long.into(),
            Type::Char | Type::String => "string".into(),
            Type::Id(id) => self.named(*id),
            _ => "number".into(),
        }
    }

    /// A named type by its module, so that every module can be read for itself.
    fn named(&self, id: TypeId) -> String {
        let def = &self.resolve.types[id];
        match (&def.name, def.owner) {
            (Some(name), TypeOwner::Interface(owner)) => {
                let module = self.resolve.id_of(owner).unwrap_or_default();
                format!("import(\"{module}\").{}", camel(name, true))
            }
            _ => self.kind(&def.kind),
        }
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        match kind {
            TypeDefKind::Option(ty) => format!("{} | null | undefined", self.ty(ty)),
            TypeDefKind::List(Type::U8) => "Uint8Array".into(),
            TypeDefKind::List(ty) => format!("Array<{}>", self.ty(ty)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("[{}]", types.join(", "))
            }
            TypeDefKind::Result(result) => {
                let side = |tag: &str, ty: &Option<Type>| match ty {
                    Some(ty) => format!("{{ tag: \"{tag}\"; val: {} }}", self.ty(ty)),
                    None => format!("{{ tag: \"{tag}\" }}"),
                };
                format!("{} | {}", side("ok", &result.ok), side("err", &result.err))
            }
            TypeDefKind::Type(ty) => self.ty(ty),
            _ => "unknown".into(),
        }
    }

    fn is_option(&self, ty: &Type) -> bool {
        matches!(ty, Type::Id(id) if matches!(self.resolve.types[*id].kind, TypeDefKind::Option(_)))
    }

    fn docs(&mut self, docs: &Docs, indent: &str) {
        let Some(text) = &docs.contents else { return };
        let lines: Vec<&str> = text.trim().lines().collect();
        let _ = writeln!(self.text, "{indent}/** {} */", lines.join(&format!("\n{indent} * ")));
    }
}

/// `first-token-ms` as `firstTokenMs`, or `FirstTokenMs` for a type.
fn camel(name: &str, is_type: bool) -> String {
    let mut words = name.split('-');
    let first = if is_type { None } else { words.next() };
    let capital = |word: &str| match word.split_at_checked(1) {
        Some((letter, rest)) => letter.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    first.into_iter().map(str::to_owned).chain(words.map(capital)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_whose_name_is_a_reserved_word_is_exported_under_it() {
        let manifest: Manifest =
            toml::from_str("name = \"night\"\nkind = \"policy\"\nlang = \"ts\"\ngrants = [\"state\"]").unwrap();
        let text = of(&manifest).unwrap();
        assert!(
            text.contains("  function delete_(key: string): void;\n  export { delete_ as delete };\n"),
            "{text}"
        );
        assert!(text.contains("  export function get(key: string): "), "{text}");
    }
}
