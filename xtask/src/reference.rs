//! The contract as a page for people, `docs/plugins/reference.md`: every interface of `wit/` with its types, functions
//! and the comments beside them. A test compares the page with the contract.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, World, WorldItem};

use crate::workspace;

/// The chapters of the page with their interfaces, in the order of reading.
const CHAPTERS: &[(&str, &[&str])] = &[
    ("What a policy exports", &["configure", "route", "review", "outcome"]),
    ("What an adapter exports", &["describe", "unary", "streaming"]),
    (
        "What plugins may call",
        &[
            "prompt", "log", "grants", "timeouts", "state", "spend", "models", "fetch",
        ],
    ),
    ("Types that they share", &["request", "catalog", "wire"]),
];

const HEAD: &str = "# Reference of the contract

Made from [`wit/`](../../wit/README.md) by `cargo xtask reference`: change it there. How each language writes these types is in the
[table of languages](README.md#how-types-look-in-each-language).
";

/// Where the page is.
pub fn file() -> PathBuf {
    workspace().join("docs/plugins/reference.md")
}

/// Writes the page.
pub fn write() -> Result<()> {
    let path = file();
    fs::write(&path, page()?).with_context(|| format!("cannot write {}", path.display()))
}

/// The page as the contract has it now.
pub fn page() -> Result<String> {
    let mut wit = Resolve::default();
    let (package, _) = wit.push_dir(workspace().join("wit"))?;
    let package = &wit.packages[package];
    for name in package.interfaces.keys() {
        let is_known = CHAPTERS.iter().any(|(_, names)| names.contains(&name.as_str()));
        ensure!(is_known, "no chapter of the reference has the interface `{name}`");
    }
    let mut page = format!("{HEAD}\nThis is `{}`.\n\n## Worlds\n", package.name);
    for world in package.worlds.values() {
        describe_world(&mut page, &wit, &wit.worlds[*world]);
    }
    for (title, names) in CHAPTERS {
        write!(page, "\n## {title}\n")?;
        for name in *names {
            let Some(interface) = package.interfaces.get(*name) else {
                bail!("the contract has no interface `{name}`");
            };
            describe_interface(&mut page, &wit, name, &wit.interfaces[*interface])?;
        }
    }
    Ok(page.replace("\n\n\n", "\n\n").trim_end().to_owned() + "\n")
}

fn describe_world(page: &mut String, wit: &Resolve, world: &World) {
    let names = |items: &mut dyn Iterator<Item = &WorldItem>| {
        let names = items.filter_map(|item| match item {
            WorldItem::Interface { id, .. } => wit.interfaces[*id].name.as_deref(),
            _ => None,
        });
        names.map(linked).collect::<Vec<_>>().join(", ")
    };
    page.push_str(&format!("\n### World `{}`\n\n{}", world.name, paragraph(&world.docs)));
    page.push_str(&format!(
        "Imports {}. Exports {}.\n",
        names(&mut world.imports.values()),
        names(&mut world.exports.values())
    ));
}

fn describe_interface(page: &mut String, wit: &Resolve, name: &str, interface: &Interface) -> Result<()> {
    write!(page, "\n### Interface `{name}`\n\n{}", paragraph(&interface.docs))?;
    for (name, function) in &interface.functions {
        writeln!(page, "#### `{}`\n", signature(wit, name, function))?;
        page.push_str(&paragraph(&function.docs));
    }
    for (name, id) in &interface.types {
        describe_type(page, wit, name, &wit.types[*id])?;
    }
    Ok(())
}

fn describe_type(page: &mut String, wit: &Resolve, name: &str, def: &TypeDef) -> Result<()> {
    let kind = &def.kind;
    let rows: Vec<[String; 3]> = match kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            fields
                .map(|field| row(&field.name, Some(shown(wit, &field.ty)), &field.docs))
                .collect()
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            cases
                .map(|case| row(&case.name, case.ty.as_ref().map(|ty| shown(wit, ty)), &case.docs))
                .collect()
        }
        TypeDefKind::Enum(cases) => cases
            .cases
            .iter()
            .map(|case| row(&case.name, None, &case.docs))
            .collect(),
        TypeDefKind::Flags(flags) => flags
            .flags
            .iter()
            .map(|flag| row(&flag.name, None, &flag.docs))
            .collect(),
        // A name that comes from another interface is described there.
        TypeDefKind::Type(Type::Id(_)) => return Ok(()),
        TypeDefKind::Type(ty) => {
            write!(
                page,
                "#### type `{name}` = `{}`\n\n{}",
                shown(wit, ty),
                paragraph(&def.docs)
            )?;
            return Ok(());
        }
        other => bail!("the reference cannot describe `{name}`, a {}", other.as_str()),
    };
    write!(page, "#### {} `{name}`\n\n{}", kind.as_str(), paragraph(&def.docs))?;
    let is_plain = rows.iter().all(|[_, ty, docs]| ty.is_empty() && docs.is_empty());
    if is_plain {
        let names: Vec<&str> = rows.iter().map(|[name, ..]| name.as_str()).collect();
        writeln!(page, "{}\n", names.join(", "))?;
        return Ok(());
    }
    page.push_str("| | type | |\n|---|---|---|\n");
    for [name, ty, docs] in rows {
        writeln!(page, "| {name} | {ty} | {docs} |")?;
    }
    page.push('\n');
    Ok(())
}

fn row(name: &str, ty: Option<String>, docs: &Docs) -> [String; 3] {
    let docs = docs.contents.as_deref().unwrap_or_default();
    [
        format!("`{name}`"),
        ty.map(|ty| format!("`{ty}`")).unwrap_or_default(),
        one_line(docs).replace('|', "\\|"),
    ]
}

fn signature(wit: &Resolve, name: &str, function: &Function) -> String {
    let params = function.params.iter();
    let params: Vec<String> = params
        .map(|param| format!("{}: {}", param.name, shown(wit, &param.ty)))
        .collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {}", shown(wit, ty)));
    format!("{name}({}){}", params.join(", "), result.unwrap_or_default())
}

/// A type as WIT writes it.
fn shown(wit: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return primitive(ty).to_owned();
    };
    let def = &wit.types[*id];
    if let Some(name) = &def.name {
        return name.clone();
    }
    let or_hole = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| shown(wit, ty));
    match &def.kind {
        TypeDefKind::Option(ty) => format!("option<{}>", shown(wit, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", shown(wit, ty)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", or_hole(&result.ok), or_hole(&result.err)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(|ty| shown(wit, ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        other => other.as_str().to_owned(),
    }
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "",
    }
}

fn linked(name: &str) -> String {
    format!("[`{name}`](#interface-{name})")
}

fn paragraph(docs: &Docs) -> String {
    match docs.contents.as_deref().map(one_line) {
        Some(text) if !text.is_empty() => format!("{text}\n\n"),
        _ => String::new(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
