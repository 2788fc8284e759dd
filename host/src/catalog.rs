//! What is known of models before anybody configures one: prices, sizes and abilities, by provider. Built into the binary, and
//! replaced in part by what `catalog update` has put into the store. Texts stay texts: a model is looked up in them when a
//! configuration names it, and nothing else is kept in memory.
//!
//! `text` is the format, `names` what providers are called and where they are, `source` reads the lists of others, and
//! `change` finds prices that have moved further than prices move.

mod abilities;
mod change;
mod decimal;
mod names;
mod source;
mod text;

use std::path::Path;

pub use abilities::Abilities;
pub use change::{Change, changes};
pub use names::{of_host, providers};
pub use source::{SourceError, Taken, read as read_source};
pub use text::{Origin, TextError, write};

use crate::money::{PriceList, Shares};

/// Generated: `host/catalog/README.md` says from what.
const BUILT_IN: &str = include_str!("../catalog/models.txt");
/// What no list tells in this form: models that are billed by images, characters and searches.
const BESIDE: &str = include_str!("../catalog/beside.txt");

/// Generated, likewise: what is billed for other services than the ordinary one, which models.dev does not say.
const SHARES: &str = include_str!("../catalog/shares.txt");

/// Its name in the store.
pub const FILE: &str = "catalog.txt";
/// Larger files are no catalogs.
const FILE_BYTES: u64 = 16 << 20;

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// What it costs.
    pub price: Option<PriceList>,
    /// What other services than the ordinary one cost, where a list knows only that.
    pub shares: Shares,
    /// Tokens of input and output together.
    pub context: Option<u32>,
    /// Tokens of output.
    pub max_output: Option<u32>,
    /// What it can do.
    pub abilities: Option<Abilities>,
}

impl Entry {
    /// With what the other knows where this one knows nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            price: self.price.or(other.price),
            shares: self.shares.or(other.shares),
            context: self.context.or(other.context),
            max_output: self.max_output.or(other.max_output),
            abilities: self.abilities.or(other.abilities),
        }
    }
}

/// The built-in catalog, with a newer one over it where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    newer: Option<Box<str>>,
}

impl Catalog {
    /// Takes what the store has. A file that is none of ours is left out, with a warning.
    pub fn open(store: &Path, warnings: &mut Vec<String>) -> Self {
        let path = store.join(FILE);
        read(&path).unwrap_or_else(|reason| {
            warnings.push(format!(
                "{}: {reason}; the built-in catalog is used alone until `pointsman catalog update` has written it anew",
                path.display()
            ));
            Self::default()
        })
    }

    /// The built-in one with this text over it.
    pub fn with(text: &str) -> Result<Self, TextError> {
        text::check(text)?;
        Ok(Self {
            newer: Some(text.into()),
        })
    }

    /// What is known of a provider's model, by the provider's name here and its own name of the model.
    pub fn find(&self, provider: &str, model: &str) -> Option<Entry> {
        let found = self.texts().filter_map(|text| text::find(text, provider, model));
        let found = found.reduce(|known, more| {
            let mut entry = known.or(more.clone());
            if let (Some(price), Some(more)) = (&mut entry.price, &more.price) {
                price.rates.add_kinds(&more.rates);
            }
            entry
        });
        found.map(|mut entry| {
            if let Some(price) = &mut entry.price {
                price.shares = price.shares.or(entry.shares);
            }
            entry
        })
    }

    /// All models, or those of one provider, by provider and name.
    pub fn list(&self, provider: Option<&str>) -> Vec<(String, String)> {
        let texts = self.texts().flat_map(text::lines);
        let wanted = texts.filter(|(of, ..)| provider.is_none_or(|provider| provider == *of));
        let mut models: Vec<_> = wanted.map(|(of, model, _)| (of.to_owned(), model.to_owned())).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// Where what is known of a model comes from: that which comes first where both know it.
    pub fn origins(&self, provider: &str, model: &str) -> Vec<Origin> {
        let knowing = self.texts().filter(|text| text::find(text, provider, model).is_some());
        knowing.map(text::origin).collect()
    }

    /// All origins, the newer one first.
    pub fn all_origins(&self) -> Vec<Origin> {
        self.texts().map(text::origin).collect()
    }

    /// The newer one first.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.newer.as_deref().into_iter().chain([BUILT_IN, BESIDE, SHARES])
    }
}

/// A catalog's file, where there is one.
fn read(path: &Path) -> Result<Catalog, String> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Catalog::default()),
        Err(error) => return Err(error.to_string()),
    };
    if size > FILE_BYTES {
        return Err(format!("{size} bytes; a catalog has at most {FILE_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Catalog::with(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Nanodollars, Price, Service};

    #[test]
    fn the_built_in_catalog_is_good_and_large() {
        assert_eq!(text::check(BUILT_IN), Ok(()));
        assert_eq!(text::check(BESIDE), Ok(()));
        assert_eq!(text::check(SHARES), Ok(()));
        let catalog = Catalog::default();
        let all = catalog.list(None);
        let priced = all
            .iter()
            .filter(|(provider, model)| catalog.find(provider, model).unwrap().price.is_some());
        assert!(priced.count() > 900, "{} models", all.len());
        for provider in providers() {
            // Only LiteLLM's list knows Volcengine's prices in US dollars.
            let is_there = all.iter().any(|(of, _)| of == provider);
            assert!(is_there || provider == "volcengine", "{provider}");
        }
    }

    #[test]
    fn a_model_is_found_by_provider_and_name_alone() {
        let catalog = Catalog::default();
        let entry = catalog.find("anthropic", "claude-sonnet-4-5").unwrap();
        let rates = *Price::new(&entry.price.unwrap()).base();
        assert_eq!(rates.cache_write, Nanodollars(3_750_000_000));
        assert_eq!((entry.context, entry.max_output), (Some(200_000), Some(64_000)));
        assert!(entry.abilities.unwrap().vision);
        for (provider, model) in [
            ("anthropic", "claude"),
            ("anthropic", ""),
            ("", "claude-sonnet-4-5"),
            ("openai", "claude-sonnet-4-5"),
        ] {
            assert_eq!(catalog.find(provider, model), None, "{provider}/{model}");
        }
    }

    #[test]
    fn what_lists_have_no_words_for_has_a_price_that_newer_ones_do_not_take_away() {
        let newer = "pointsman-catalog 1\n\n[openai]\ngpt-image-2 input=4 output=20\n";
        for (catalog, input) in [(Catalog::default(), 5), (Catalog::with(newer).unwrap(), 4)] {
            let price = Price::new(&catalog.find("openai", "gpt-image-2").unwrap().price.unwrap());
            let rates = price.base();
            assert_eq!(
                (rates.input.0, rates.image_input.0),
                (input * 1_000_000_000, 8_000_000_000)
            );
        }
        let newer = "pointsman-catalog 1\n\n[openai]\ngpt-4o input=4 output=20 batch=400\n";
        for (catalog, batch) in [(Catalog::default(), 500), (Catalog::with(newer).unwrap(), 400)] {
            let price = Price::new(&catalog.find("openai", "gpt-4o").unwrap().price.unwrap());
            let shares = [Service::Batch, Service::Priority].map(|service| price.shares().of(service));
            assert_eq!(shares, [batch, 1_700]);
        }
        let price = |provider, model| Price::new(&Catalog::default().find(provider, model).unwrap().price.unwrap());
        assert!(price("openai", "tts-1").is_by_character());
        assert_eq!(price("cohere", "rerank-v3.5").base().search, Nanodollars(2_000_000));
    }

    #[test]
    fn a_newer_catalog_lies_over_the_built_in_one() {
        let store = tempfile::tempdir().unwrap();
        let newer = "pointsman-catalog 1\nsource a test\ndate 2026-11-21\n\n[anthropic]\nclaude-sonnet-4-5 input=5 output=25\nnew context=7\n";
        std::fs::write(store.path().join(FILE), newer).unwrap();
        let mut warnings = Vec::new();
        let catalog = Catalog::open(store.path(), &mut warnings);
        assert_eq!(warnings, Vec::<String>::new());
        let entry = catalog.find("anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!(entry.price.unwrap().rates.input, Nanodollars(5_000_000_000));
        assert_eq!(entry.max_output, Some(64_000));
        assert_eq!(catalog.find("anthropic", "new").unwrap().context, Some(7));
        assert_eq!(catalog.origins("anthropic", "claude-sonnet-4-5").len(), 3);
        assert_eq!(catalog.origins("anthropic", "new")[0].date, "2026-11-21");
        std::fs::write(store.path().join(FILE), "{}").unwrap();
        assert_eq!(Catalog::open(store.path(), &mut warnings), Catalog::default());
        assert!(warnings[0].contains("line 1"), "{warnings:?}");
    }
}
