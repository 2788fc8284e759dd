//! The catalog's format, which people can read and version control can compare: a head, then a section for each provider, and
//! a line for each model, sorted.
//!
//! ```text
//! pointsman-catalog 1
//! source models.dev
//! date 2026-07-02
//!
//! [deepseek]
//! deepseek-chat context=1000000 max_output=384000 abilities=streaming,tools input=0.14 cached_input=0.0028 output=0.28
//! ```
//!
//! The words are those of the configuration, and so are the units: US dollars per million tokens, but for `search`. Rates that stand after
//! `above=200000` hold for calls with more input than that. `batch=500` and `priority=1750` are in thousandths of the price, and stand without one where only they are known. A line that begins with
//! `#` is a comment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use memchr::memmem;
use thiserror::Error;

use super::{Abilities, Entry};
use crate::money::{Nanodollars, PriceList, StatedRates};

/// The first line.
const MARK: &str = "pointsman-catalog 1";
/// What is served before others costs ten times the price at most, in thousandths of it.
const MOST_PRIORITY: u32 = 10_000;

/// Where a catalog comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Who says so.
    pub source: String,
    /// Of when it is.
    pub date: String,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct TextError {
    /// Counted from 1.
    pub line: usize,
    /// In words.
    pub reason: String,
}

/// Whether a name of a model can stand in a line.
pub(super) fn can_hold(model: &str) -> bool {
    !model.is_empty() && !model.starts_with(['[', '#']) && !model.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// A catalog's text.
pub fn write(origin: &Origin, models: &BTreeMap<(String, String), Entry>) -> String {
    // The head is of lines, whatever the source is called.
    let line = |text: &str| text.replace(char::is_control, " ");
    let mut text = format!("{MARK}\nsource {}\ndate {}\n", line(&origin.source), line(&origin.date));
    let mut section = None;
    for ((provider, model), entry) in models {
        if section != Some(provider) {
            let _ = write!(text, "\n[{provider}]\n");
            section = Some(provider);
        }
        text.push_str(model);
        write_entry(&mut text, entry);
        text.push('\n');
    }
    text
}

fn write_entry(text: &mut String, entry: &Entry) {
    for (key, tokens) in [("context", entry.context), ("max_output", entry.max_output)] {
        if let Some(tokens) = tokens {
            let _ = write!(text, " {key}={tokens}");
        }
    }
    if let Some(abilities) = entry.abilities {
        let _ = write!(text, " abilities={}", abilities.words().join(","));
    }
    let stated = entry.price.as_ref().map_or(entry.shares, |price| price.shares);
    for (key, share) in [("batch", stated.batch), ("priority", stated.priority)] {
        if let Some(permille) = share {
            let _ = write!(text, " {key}={permille}");
        }
    }
    let Some(price) = &entry.price else { return };
    write_rates(text, &price.rates);
    for (above, rates) in &price.tiers {
        let _ = write!(text, " above={above}");
        write_rates(text, rates);
    }
}

fn write_rates(text: &mut String, rates: &StatedRates) {
    for (key, rate) in named(rates) {
        if let Some(rate) = rate {
            let shown = rate.to_string();
            // Money is shown with two decimals at least; here they say nothing.
            let shown = shown.trim_end_matches('0').trim_end_matches('.');
            let _ = write!(text, " {key}={shown}");
        }
    }
}

/// By the words of the configuration.
pub(super) fn named(rates: &StatedRates) -> [(&'static str, Option<Nanodollars>); 12] {
    [
        ("input", Some(rates.input)),
        ("cached_input", rates.cached_input),
        ("cache_write", rates.cache_write),
        ("cache_write_1h", rates.cache_write_1h),
        ("output", Some(rates.output)),
        ("reasoning", rates.reasoning),
        ("audio_input", rates.audio_input),
        ("audio_output", rates.audio_output),
        ("image_input", rates.image_input),
        ("image_output", rates.image_output),
        ("characters", rates.characters),
        ("search", rates.search),
    ]
}

/// Whether all of a text can be read.
pub(super) fn check(text: &str) -> Result<(), TextError> {
    let wrong = |line: usize, reason: String| TextError { line: line + 1, reason };
    let mut has_section = false;
    for (number, line) in text.lines().enumerate() {
        let is_head = ["source ", "date "].iter().any(|key| line.starts_with(key));
        match number {
            0 if line == MARK => {}
            0 => return Err(wrong(0, format!("a catalog begins with `{MARK}`"))),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ if line.starts_with('[') && line.ends_with(']') => has_section = true,
            _ if !has_section && is_head => {}
            _ if !has_section => return Err(wrong(number, "a model stands below a `[provider]`".to_owned())),
            _ => {
                let (_, members) = line.split_once(' ').unwrap_or((line, ""));
                read_entry(members).map_err(|reason| wrong(number, reason))?;
            }
        }
    }
    if text.is_empty() {
        return Err(wrong(0, "an empty file is no catalog".to_owned()));
    }
    Ok(())
}

pub(super) fn origin(text: &str) -> Origin {
    let head = |key: &str| {
        let found = text.lines().take_while(|line| !line.starts_with('['));
        let found = found.filter_map(|line| line.strip_prefix(key)).next();
        found.unwrap_or_default().to_owned()
    };
    Origin {
        source: head("source "),
        date: head("date "),
    }
}

/// The lines of all models: provider, model, and what is said of it.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut provider = "";
    text.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            provider = name;
            return None;
        }
        let (model, members) = line.split_once(' ').unwrap_or((line, ""));
        let is_model = !provider.is_empty() && !model.is_empty() && !model.starts_with('#');
        is_model.then_some((provider, model, members))
    })
}

/// What a text says of a model. It has been checked, so what cannot be read is not there.
pub(super) fn find(text: &str, provider: &str, model: &str) -> Option<Entry> {
    let start = memmem::find(text.as_bytes(), format!("\n[{provider}]\n").as_bytes())?;
    let section = &text[start..];
    let (_, _, members) = lines(section)
        .take_while(|(of, ..)| *of == provider)
        .find(|(_, name, _)| *name == model)?;
    read_entry(members).ok()
}

/// Of `key=value`, apart by spaces.
fn read_entry(members: &str) -> Result<Entry, String> {
    let mut entry = Entry::default();
    // The rates of an ordinary call, then those above sizes.
    let mut rates = vec![(0_u64, Rates::default())];
    for member in members.split(' ').filter(|member| !member.is_empty()) {
        let (key, value) = member
            .split_once('=')
            .ok_or_else(|| format!("`{member}` is no `key=value`"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("`{member}`: not a whole number"))
        };
        let tokens = || u32::try_from(number()?).map_err(|_| format!("`{member}`: too large"));
        match key {
            "context" => entry.context = Some(tokens()?),
            "max_output" => entry.max_output = Some(tokens()?),
            "batch" | "priority" => {
                let most = if key == "batch" { 1_000 } else { MOST_PRIORITY };
                let share = Some(tokens()?).filter(|permille| *permille <= most);
                let share = share.ok_or_else(|| format!("`{member}`: more than {most}"))?;
                match key {
                    "batch" => entry.shares.batch = Some(share),
                    _ => entry.shares.priority = Some(share),
                }
            }
            "above" => rates.push((number()?, Rates::default())),
            "abilities" => entry.abilities = Some(read_abilities(value)?),
            _ => {
                let rate = Nanodollars::from_usd(value)?;
                let (_, of) = rates.last_mut().ok_or("no rates")?;
                if of.insert(key, rate).is_none() {
                    return Err(format!("`{key}` is nothing that a model has"));
                }
            }
        }
    }
    let mut rates = rates.into_iter();
    let base = rates.next().map(|(_, base)| base.stated()).transpose()?.flatten();
    let mut tiers = Vec::new();
    for (above, rates) in rates {
        let rates = rates.stated()?.filter(|_| base.is_some());
        tiers.push((above, rates.ok_or("a price needs `input` and `output`")?));
    }
    entry.price = base.map(|rates| PriceList {
        rates,
        tiers,
        shares: entry.shares,
    });
    Ok(entry)
}

fn read_abilities(value: &str) -> Result<Abilities, String> {
    let mut abilities = Abilities::default();
    for word in value.split(',').filter(|word| !word.is_empty()) {
        if !abilities.add(word) {
            return Err(format!("no ability `{word}`"));
        }
    }
    Ok(abilities)
}

/// Rates as they are read.
#[derive(Debug, Default)]
struct Rates {
    stated: StatedRates,
    has_input: bool,
    has_output: bool,
    has_more: bool,
}

impl Rates {
    /// Nothing where there is no such rate.
    fn insert(&mut self, key: &str, rate: Nanodollars) -> Option<()> {
        let more = match key {
            "input" => {
                (self.stated.input, self.has_input) = (rate, true);
                return Some(());
            }
            "output" => {
                (self.stated.output, self.has_output) = (rate, true);
                return Some(());
            }
            "cached_input" => &mut self.stated.cached_input,
            "cache_write" => &mut self.stated.cache_write,
            "cache_write_1h" => &mut self.stated.cache_write_1h,
            "reasoning" => &mut self.stated.reasoning,
            "audio_input" => &mut self.stated.audio_input,
            "audio_output" => &mut self.stated.audio_output,
            "image_input" => &mut self.stated.image_input,
            "image_output" => &mut self.stated.image_output,
            "characters" => &mut self.stated.characters,
            "search" => &mut self.stated.search,
            _ => return None,
        };
        *more = Some(rate);
        self.has_more = true;
        Some(())
    }

    /// Input and output belong to every price.
    fn stated(self) -> Result<Option<StatedRates>, String> {
        match (self.has_input, self.has_output) {
            (true, true) => Ok(Some(self.stated)),
            (false, false) if !self.has_more => Ok(None),
            _ => Err("a price needs `input` and `output`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Shares;

    #[test]
    fn what_is_written_is_read_again() {
        let usd = |text| Nanodollars::from_usd(text).unwrap();
        let rates = StatedRates {
            input: usd("1.25"),
            cached_input: Some(usd("0.125")),
            output: usd("10"),
            audio_output: Some(usd("0.000000001")),
            ..StatedRates::default()
        };
        let shares = Shares {
            batch: Some(500),
            priority: Some(1_750),
        };
        let mut abilities = Abilities::default();
        abilities.add("vision");
        abilities.add("prompt-cache");
        let entry = Entry {
            price: Some(PriceList {
                rates,
                tiers: vec![(200_000, rates)],
                shares,
            }),
            shares,
            context: Some(1_000_000),
            max_output: None,
            abilities: Some(abilities),
        };
        let key = |model: &str| ("gemini".to_owned(), model.to_owned());
        let models = BTreeMap::from([(key("pro"), entry.clone()), (key("bare"), Entry::default())]);
        let origin = Origin {
            source: "a list\nof mine".to_owned(),
            date: "2026-11-21".to_owned(),
        };
        let text = write(&origin, &models);
        assert_eq!(check(&text), Ok(()));
        assert_eq!(find(&text, "gemini", "pro"), Some(entry));
        assert_eq!(find(&text, "gemini", "bare"), Some(Entry::default()));
        assert_eq!(super::origin(&text).source, "a list of mine");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, expected) in [
            ("", "line 1: an empty file is no catalog"),
            ("{}", "line 1: a catalog begins with `pointsman-catalog 1`"),
            (
                "pointsman-catalog 1\nm input=1",
                "line 2: a model stands below a `[provider]`",
            ),
            ("pointsman-catalog 1\n[p]\nm input", "line 3: `input` is no `key=value`"),
            (
                "pointsman-catalog 1\n[p]\nm input=1",
                "line 3: a price needs `input` and `output`",
            ),
            (
                "pointsman-catalog 1\n[p]\nm inputs=1",
                "line 3: `inputs` is nothing that a model has",
            ),
            (
                "pointsman-catalog 1\n[p]\nm input=-1 output=1",
                "line 3: `-1` is not an amount in US dollars such as 0.25",
            ),
            (
                "pointsman-catalog 1\n[p]\nm context=5000000000",
                "line 3: `context=5000000000`: too large",
            ),
            (
                "pointsman-catalog 1\n[p]\nm batch=1001",
                "line 3: `batch=1001`: more than 1000",
            ),
            (
                "pointsman-catalog 1\n[p]\nm abilities=flying",
                "line 3: no ability `flying`",
            ),
            (
                "pointsman-catalog 1\n[p]\nm input=1 output=1 above=5 cached_input=1",
                "line 3: a price needs `input` and `output`",
            ),
        ] {
            assert_eq!(check(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
